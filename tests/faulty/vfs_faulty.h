/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What a fault is made of: an op performed on the live file system, and how each lock that the documentation asks for is
 * held meanwhile.
 *
 * A fault's function carries the fault's name and makes the call through the operations table itself, so that the kernel
 * stack at the callback names the fault.
 */
#ifndef VFS_FAULTY_H
#define VFS_FAULTY_H

#include "compat.h"

/* How a lock is held during the call. Zero is what nearly every rule asks for. */
enum hold {
	EXCLUSIVE = 0,
	SHARED,
	NOT_HELD,
	/* Exclusive, but on another inode (the directory above). */
	OF_WRONG_INODE,
	/* By another task: the lock word says "taken", this task holds nothing. */
	EXCLUSIVE_BY_OTHER,
	SHARED_BY_OTHER,
};

/* The locks of one call, by the role of the object. An op looks at those that it needs. */
struct locking {
	enum hold dir;			/* the directory; rename: the source's parent */
	enum hold target_parent;	/* rename across directories only */
	enum hold victim;
	enum hold source;		/* link, rename: a non-directory */
	enum hold subdirectory;		/* rename: a directory that changes parent */
	enum hold rename_mutex;
	enum hold self;			/* setattr, fileattr: the inode itself */
	/* No locks: what the call is told, and the context that it is made in. */
	bool may_not_block;
	bool preemption_off;
	bool interrupts_off;
};

/* What was written to the trigger file. */
struct call {
	const char *path;
	const char *second_path;
};

struct fault {
	const char *identifier;		/* the name, with '_' for '-' */
	const char *rule;		/* the one rule that it breaks */
	int (*perform)(const struct call *call);
	int (*perform_correctly)(const struct call *call);
};

#define DEFINE_CORRECT(op, ...)								\
static noinline int vfs_faulty_##op##_correctly(const struct call *call)		\
{											\
	const struct locking how = { __VA_ARGS__ };					\
											\
	return op##_with(call, &how);							\
}

#define DEFINE_FAULT(op, fault, rule, ...)						\
static noinline int vfs_faulty_##fault(const struct call *call)			\
{											\
	const struct locking how = { __VA_ARGS__ };					\
											\
	return op##_with(call, &how);							\
}

#define FAULT_ENTRY(op, fault, rule, ...)						\
	{ #fault, "inode_operations." rule, vfs_faulty_##fault, vfs_faulty_##op##_correctly },

/* Each ends with an entry without identifier. */
extern const struct fault children_faults[];
extern const struct fault rename_faults[];
extern const struct fault attributes_faults[];
extern const struct fault pseudo_fs_faults[];

/* A name in a directory, found and pinned, its mount writable; the child may be negative. No inode lock is held. */
struct place {
	struct path parent;
	struct dentry *child;
	bool is_writer;
};

int place_open(struct place *place, const char *path);
/* A second name on the same mount: write access to a mount is not taken twice, or a freeze in between would deadlock. */
int place_open_beside(struct place *place, const char *path, const struct place *first);
void place_close(struct place *place);
/* Under the directory's lock, or in its place: is the child still what it was taken for? */
int place_expect(const struct place *place, bool positive);

static inline struct inode *place_dir(const struct place *place)
{
	return d_inode(place->parent.dentry);
}

static inline struct inode *dir_above(const struct place *place)
{
	return d_inode(place->parent.dentry->d_parent);
}

/* A task that holds a lock on behalf of EXCLUSIVE_BY_OTHER and SHARED_BY_OTHER. */
struct other_task {
	struct task_struct *task;
	struct completion held;
	struct inode *inode;		/* either this … */
	struct mutex *mutex;		/* … or this */
	bool shared;
};

int other_task_acquire(struct other_task *other);
void other_task_release(struct other_task *other);

/* An inode's i_rwsem as `how` asks. A guard that was never acquired (all zero) is released without effect. */
struct guard {
	struct inode *inode;
	enum hold how;
	struct other_task other;
};

static __always_inline int guard_acquire(struct guard *guard, struct inode *inode, enum hold how,
					 unsigned int subclass, struct inode *wrong)
{
	guard->how = how;
	switch (how) {
	case EXCLUSIVE:
		inode_lock_nested(inode, subclass);
		break;
	case SHARED:
		inode_lock_shared_nested(inode, subclass);
		break;
	case NOT_HELD:
		return 0;
	case OF_WRONG_INODE:
		if (!wrong || wrong == inode)
			return -EINVAL;
		inode = wrong;
		inode_lock_nested(inode, subclass);
		break;
	case EXCLUSIVE_BY_OTHER:
	case SHARED_BY_OTHER:
		guard->other = (struct other_task){ .inode = inode, .shared = how == SHARED_BY_OTHER };
		if (other_task_acquire(&guard->other))
			return -EAGAIN;
		break;
	}
	guard->inode = inode;
	return 0;
}

static __always_inline void guard_release(struct guard *guard)
{
	if (!guard->inode)
		return;
	if (guard->how == SHARED)
		inode_unlock_shared(guard->inode);
	else if (guard->how == EXCLUSIVE || guard->how == OF_WRONG_INODE)
		inode_unlock(guard->inode);
	else
		other_task_release(&guard->other);
	guard->inode = NULL;
}

int pseudo_fs_register(void);
void pseudo_fs_unregister(void);

#endif
