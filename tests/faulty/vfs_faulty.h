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

#include <linux/irqflags.h>
#include <linux/preempt.h>
#include <linux/rcupdate.h>
#include <linux/rwsem.h>
#include <linux/spinlock.h>

#include "compat.h"

/* How a lock is held during the call. Zero is what nearly every rule asks for. */
enum hold {
	EXCLUSIVE = 0,
	SHARED,
	NOT_HELD,
	/* Exclusive, but another lock of the same kind (i_rwsem: that of the directory above). */
	OF_WRONG_INODE,
	/* By another task: the lock word says "taken", this task holds nothing. */
	EXCLUSIVE_BY_OTHER,
	SHARED_BY_OTHER,
};

/* What the call is made in; all but the first forbid sleeping. */
enum context {
	MAY_SLEEP = 0,
	PREEMPTION_OFF,
	INTERRUPTS_OFF,
	IN_RCU,
	UNDER_SPINLOCK,
};

/* What one of this module's own callbacks does wrong, in the call that asks for it and in no other. */
enum misdeed {
	BEHAVE = 0,
	SLEEP,
	/* Not taken, or not released, where the document says that it is; or the other way round. */
	NO_LOCK,
	KEEP_LOCKED,
	UNLOCK,
	/* What is left out of a protocol, or done in the wrong order. */
	NO_IO,
	NO_WAIT,
	NO_END,
	UNLOCK_FIRST,
	WRONG_RESULT,
	NOT_COUNTED,
	STRAY,
	KEEP_DIRTY,
	KEEP_PRIVATE,
	TRUNCATED,
	LOADS,
	NOT_CALLED,
	CALLED,
};

/* The locks of one call, by the role of the object. An op looks at those that it needs. */
struct locking {
	enum hold dir;			/* the directory; rename: the source's parent */
	enum hold target_parent;	/* rename across directories only */
	enum hold victim;
	enum hold source;		/* link, rename: a non-directory */
	enum hold subdirectory;		/* rename: a directory that changes parent */
	enum hold rename_mutex;
	enum hold self;			/* setattr, fileattr, xattr, pages: the inode itself */
	enum hold s_umount;
	enum hold invalidate_lock;
	enum hold mmap_lock;
	enum hold dqio_sem;
	enum hold namespace_sem;
	enum hold open_mutex;
	/* Locks without a mode or an owner: held or not. */
	enum hold dentry_lock;
	enum hold i_lock;
	enum hold flc_lock;
	enum hold rename_lock;
	enum hold blocked_lock_lock;
	enum hold folio;
	enum hold destination;		/* migrate_folio */
	enum hold buffer;
	/* No locks: what the call is told, the context that it is made in, what the callback itself does wrong. */
	bool may_not_block;
	bool in_rcu_walk;
	enum context context;
	enum misdeed misdeed;
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
	{ #fault, TABLE "." rule, vfs_faulty_##fault, vfs_faulty_##op##_correctly },

/* Each ends with an entry without identifier. */
extern const struct fault children_faults[];
extern const struct fault rename_faults[];
extern const struct fault attributes_faults[];
extern const struct fault pseudo_fs_faults[];
extern const struct fault own_dentry_faults[];
extern const struct fault own_super_faults[];
extern const struct fault own_type_faults[];
extern const struct fault own_page_faults[];
extern const struct fault own_writeback_faults[];
extern const struct fault own_readahead_faults[];
extern const struct fault own_lock_faults[];
extern const struct fault own_lock_manager_faults[];
extern const struct fault own_disk_faults[];
extern const struct fault own_file_faults[];
extern const struct fault own_quota_faults[];
extern const struct fault own_vm_faults[];
extern const struct fault own_buffer_faults[];
extern const struct fault xattr_faults[];
extern const struct fault directory_faults[];

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
	struct rw_semaphore *rwsem;	/* either this … */
	struct mutex *mutex;		/* … or this */
	bool shared;
};

int other_task_acquire(struct other_task *other);
void other_task_release(struct other_task *other);

/* A lock as `how` asks. A guard that was never acquired (all zero) is released without effect. */
struct guard {
	struct rw_semaphore *rwsem;
	enum hold how;
	struct other_task other;
};

static __always_inline int guard_acquire_rwsem(struct guard *guard, struct rw_semaphore *rwsem, enum hold how,
					       unsigned int subclass, struct rw_semaphore *wrong)
{
	guard->how = how;
	switch (how) {
	case EXCLUSIVE:
		down_write_nested(rwsem, subclass);
		break;
	case SHARED:
		down_read_nested(rwsem, subclass);
		break;
	case NOT_HELD:
		return 0;
	case OF_WRONG_INODE:
		if (!wrong || wrong == rwsem)
			return -EINVAL;
		rwsem = wrong;
		down_write_nested(rwsem, subclass);
		break;
	case EXCLUSIVE_BY_OTHER:
	case SHARED_BY_OTHER:
		guard->other = (struct other_task){ .rwsem = rwsem, .shared = how == SHARED_BY_OTHER };
		if (other_task_acquire(&guard->other))
			return -EAGAIN;
		break;
	}
	guard->rwsem = rwsem;
	return 0;
}

/* An inode's i_rwsem. */
static __always_inline int guard_acquire(struct guard *guard, struct inode *inode, enum hold how,
					 unsigned int subclass, struct inode *wrong)
{
	return guard_acquire_rwsem(guard, &inode->i_rwsem, how, subclass, wrong ? &wrong->i_rwsem : NULL);
}

static __always_inline void guard_release(struct guard *guard)
{
	if (!guard->rwsem)
		return;
	if (guard->how == SHARED)
		up_read(guard->rwsem);
	else if (guard->how == EXCLUSIVE || guard->how == OF_WRONG_INODE)
		up_write(guard->rwsem);
	else
		other_task_release(&guard->other);
	guard->rwsem = NULL;
}

/* Held by nobody else: it is there to forbid sleeping. */
extern spinlock_t context_spinlock;

static __always_inline void context_enter(enum context context)
{
	if (context == PREEMPTION_OFF)
		preempt_disable();
	else if (context == INTERRUPTS_OFF)
		local_irq_disable();
	else if (context == IN_RCU)
		rcu_read_lock();
	else if (context == UNDER_SPINLOCK)
		spin_lock(&context_spinlock);
}

static __always_inline void context_leave(enum context context)
{
	if (context == PREEMPTION_OFF)
		preempt_enable();
	else if (context == INTERRUPTS_OFF)
		local_irq_enable();
	else if (context == IN_RCU)
		rcu_read_unlock();
	else if (context == UNDER_SPINLOCK)
		spin_unlock(&context_spinlock);
}

int pseudo_fs_register(void);
void pseudo_fs_unregister(void);

#endif
