/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Calls on the module's own file system: its callbacks do nothing that could do harm, so that they can be called in any
 * context and with any lock missing, and misbehave when the call asks for it.
 */
#ifndef VFS_FAULTY_OWN_H
#define VFS_FAULTY_OWN_H

#include <linux/buffer_head.h>
#include <linux/file.h>
#if __has_include(<linux/filelock.h>)
#include <linux/filelock.h>
#endif
#include <linux/mm.h>
#include <linux/pagemap.h>
#include <linux/seqlock.h>

#include "vfs_faulty.h"

/* How long a thing that must happen "in the end" is put off: longer than anybody waits for it. */
#define PUT_OFF_MS 10000

/* What a call on an own file has at hand. */
struct own {
	struct place place;
	struct dentry *dentry;
	struct inode *inode;
	struct address_space *mapping;
	struct super_block *sb;
	struct file *file;
	struct folio *folio;		/* with FOLIO_LOCK, or as the op asks for: of the file, in no page cache */
	struct guard i_rwsem, s_umount, invalidate_lock, mmap_lock, dqio_sem, namespace_sem;
	unsigned int spinning;		/* the spinlocks that are held */
	bool sleeps;
};

/* The locks that an op is documented to be called with, to be held as the fault's `struct locking` says. */
#define I_RWSEM			(1u << 0)
#define S_UMOUNT		(1u << 1)
#define INVALIDATE_LOCK		(1u << 2)
#define MMAP_LOCK		(1u << 3)
#define DQIO_SEM		(1u << 4)
#define NAMESPACE_SEM		(1u << 5)
#define D_LOCK			(1u << 6)
#define I_LOCK			(1u << 7)
#define FLC_LOCK		(1u << 8)
#define RENAME_LOCK		(1u << 9)
#define BLOCKED_LOCK_LOCK	(1u << 10)
#define FOLIO_LOCK		(1u << 11)
/* A folio that is not locked. */
#define A_FOLIO			(1u << 12)

int own_open(struct own *own, const struct call *call, const struct locking *how, unsigned int locks);
int own_close(struct own *own, int error);
void own_drop_folio(struct folio *folio);
/* Drops the folio of a call, which is locked, when it has been put off for PUT_OFF_MS; the call goes on at once. */
int own_drop_folio_later(struct own *own);
/* For the module's life: what is needed to drop them. */
int own_begin(void);
void own_end(void);
struct folio *own_new_folio(struct address_space *mapping);

/* Begins every own callback: what it is to do wrong. Sleeping is done by the first. */
enum misdeed own_callback(const char *name);
enum misdeed own_misdeed(const char *name);
void own_sleep(void);
/* Whether an own callback was called by this module, in this task. */
bool own_is_called(void);
/* The call is over, before own_close(): what the kernel calls now is no part of it. */
void own_called(void);

/* The address of a variable or function that the kernel does not export, or NULL. */
void *kernel_symbol(const char *name);
struct rw_semaphore *namespace_sem_of_kernel(void);
spinlock_t *blocked_lock_lock_of_kernel(void);

/* The lock that OF_WRONG_INODE takes in place of the superblock's. */
struct rw_semaphore *own_other_umount(void);

/*
 * A spinlock that is held while the callback sleeps would be a bug that the kernel notices by itself, by the preemption
 * count. So the count is taken back: the lock's word says that it is held, which is all that a rule asks for.
 */
static __always_inline void own_spin_lock(struct own *own, spinlock_t *lock, enum hold how, unsigned int which)
{
	if (how == NOT_HELD)
		return;
	spin_lock(lock);
	own->spinning |= which;
	if (own->sleeps)
		preempt_enable();
}

static __always_inline void own_spin_unlock(struct own *own, spinlock_t *lock, unsigned int which)
{
	if (!(own->spinning & which))
		return;
	if (own->sleeps)
		preempt_disable();
	spin_unlock(lock);
}

static __always_inline int own_acquire_rwsems(struct own *own, const struct locking *how, unsigned int locks)
{
	struct inode *root = d_inode(own->sb->s_root);
	int error = 0;

	if (locks & MMAP_LOCK)
		error = guard_acquire_rwsem(&own->mmap_lock, &current->mm->mmap_lock, how->mmap_lock, 0, NULL);
	if (!error && (locks & NAMESPACE_SEM))
		error = guard_acquire_rwsem(&own->namespace_sem, namespace_sem_of_kernel(), how->namespace_sem, 0, NULL);
	if (!error && (locks & S_UMOUNT))
		error = guard_acquire_rwsem(&own->s_umount, &own->sb->s_umount, how->s_umount, SINGLE_DEPTH_NESTING,
					    own_other_umount());
	if (!error && (locks & DQIO_SEM))
		error = guard_acquire_rwsem(&own->dqio_sem, &own->sb->s_dquot.dqio_sem, how->dqio_sem, 0, NULL);
	if (!error && (locks & I_RWSEM))
		error = guard_acquire(&own->i_rwsem, own->inode, how->self, I_MUTEX_NORMAL, root);
	if (!error && (locks & INVALIDATE_LOCK))
		error = guard_acquire_rwsem(&own->invalidate_lock, &own->mapping->invalidate_lock, how->invalidate_lock,
					    0, &root->i_mapping->invalidate_lock);
	return error;
}

static __always_inline int own_acquire(struct own *own, const struct locking *how, unsigned int locks)
{
	int error = own_acquire_rwsems(own, how, locks);

	own->sleeps = how->misdeed == SLEEP;
	if (error)
		return error;
	if ((locks & FOLIO_LOCK) && how->folio != NOT_HELD)
		folio_lock(own->folio);
	if ((locks & RENAME_LOCK) && how->rename_lock != NOT_HELD) {
		/* Readers go on, since the sequence is left alone. */
		read_seqlock_excl(&rename_lock);
		own->spinning |= RENAME_LOCK;
		if (own->sleeps)
			preempt_enable();
	}
	if (locks & D_LOCK)
		own_spin_lock(own, &own->dentry->d_lock, how->dentry_lock, D_LOCK);
	if (locks & I_LOCK)
		own_spin_lock(own, &own->inode->i_lock, how->i_lock, I_LOCK);
	if (locks & FLC_LOCK)
		own_spin_lock(own, &own->inode->i_flctx->flc_lock, how->flc_lock, FLC_LOCK);
	if (locks & BLOCKED_LOCK_LOCK)
		own_spin_lock(own, blocked_lock_lock_of_kernel(), how->blocked_lock_lock, BLOCKED_LOCK_LOCK);
	return 0;
}

static __always_inline void own_release(struct own *own, unsigned int locks)
{
	if (locks & BLOCKED_LOCK_LOCK)
		own_spin_unlock(own, blocked_lock_lock_of_kernel(), BLOCKED_LOCK_LOCK);
	if (locks & FLC_LOCK)
		own_spin_unlock(own, &own->inode->i_flctx->flc_lock, FLC_LOCK);
	if (locks & I_LOCK)
		own_spin_unlock(own, &own->inode->i_lock, I_LOCK);
	if (locks & D_LOCK)
		own_spin_unlock(own, &own->dentry->d_lock, D_LOCK);
	if (own->spinning & RENAME_LOCK) {
		if (own->sleeps)
			preempt_disable();
		read_sequnlock_excl(&rename_lock);
	}
	guard_release(&own->invalidate_lock);
	guard_release(&own->i_rwsem);
	guard_release(&own->dqio_sem);
	guard_release(&own->s_umount);
	guard_release(&own->namespace_sem);
	guard_release(&own->mmap_lock);
}

/*
 * The frame of every call on an own file: `invoke` is the call itself, an expression over own and how. The function is
 * inlined, so that the call is made by the fault's own.
 */
#define OWN_CALL(op, locks, invoke)							\
static __always_inline int op##_with(const struct call *call, const struct locking *how) \
{											\
	struct own own;									\
	int error = own_open(&own, call, how, locks);					\
											\
	if (error)									\
		return error;								\
	error = own_acquire(&own, how, locks);						\
	if (!error) {									\
		context_enter(how->context);						\
		error = (invoke);							\
		context_leave(how->context);						\
	}										\
	own_release(&own, locks);							\
	return own_close(&own, error);							\
}

/* A call on this kernel that does not have the op. */
#define OWN_CALL_NOT_OFFERED(op)							\
static __always_inline int op##_with(const struct call *call, const struct locking *how) \
{											\
	return -EOPNOTSUPP;								\
}

extern const struct dentry_operations own_dentry_operations;
extern const struct super_operations own_super_operations;
extern const struct address_space_operations own_address_space_operations;
extern const struct file_operations own_file_operations;
extern const struct vm_operations_struct own_vm_operations;
extern const struct xattr_handler *const own_xattr_handlers[];
extern const struct dquot_operations own_dquot_operations;

/* The locks of a file, and a new lease, get the operations of own_locks.c. */
void own_locks_mark(struct file *file);
void own_lease_mark(void *lease);

extern struct file_system_type pseudo_fs_type;
void own_kill_sb(struct super_block *sb);
#if LINUX_VERSION_CODE < KERNEL_VERSION(7, 0, 0)
struct dentry *own_mount(struct file_system_type *type, int flags, const char *device, void *data);
#endif

int own_disk_create(void);
void own_disk_remove(void);
int own_inodes_create_cache(void);
void own_inodes_destroy_cache(void);

#endif
