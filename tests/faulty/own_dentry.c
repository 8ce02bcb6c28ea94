// SPDX-License-Identifier: GPL-2.0
/*
 * dentry_operations of the module's own file system, and faults of calls through them.
 *
 * The VFS calls d_compare without rename_lock, which the document does not know: no own dentry lets it.
 */
#include "own.h"

#define TABLE "dentry_operations"

#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 14, 0)
static int own_d_revalidate(struct inode *dir, const struct qstr *name, struct dentry *dentry, unsigned int flags)
#else
static int own_d_revalidate(struct dentry *dentry, unsigned int flags)
#endif
{
	own_callback(__func__);
	return 1;
}

static int own_d_weak_revalidate(struct dentry *dentry, unsigned int flags)
{
	own_callback(__func__);
	return 1;
}

static int own_d_hash(const struct dentry *dentry, struct qstr *name)
{
	own_callback(__func__);
	return 0;
}

static int own_d_compare(const struct dentry *dentry, unsigned int len, const char *string, const struct qstr *name)
{
	own_callback(__func__);
	return len != name->len || memcmp(string, name->name, len);
}

static int own_d_delete(const struct dentry *dentry)
{
	own_callback(__func__);
	return 0;
}

static int own_d_init(struct dentry *dentry)
{
	own_callback(__func__);
	if (!own_is_called())
		dentry->d_flags &= ~(DCACHE_OP_COMPARE | DCACHE_OP_REAL);
	return 0;
}

static void own_d_release(struct dentry *dentry)
{
	own_callback(__func__);
}

static void own_d_prune(struct dentry *dentry)
{
	own_callback(__func__);
}

static void own_d_iput(struct dentry *dentry, struct inode *inode)
{
	own_callback(__func__);
	if (!own_is_called())
		iput(inode);
}

static char *own_d_dname(struct dentry *dentry, char *buffer, int length)
{
	static const char name[] = "/vfs_faulty";

	own_callback(__func__);
	if (length < sizeof(name))
		return ERR_PTR(-ENAMETOOLONG);
	return memcpy(buffer + length - sizeof(name), name, sizeof(name));
}

static struct vfsmount *own_d_automount(struct path *path)
{
	own_callback(__func__);
	return NULL;
}

static int own_d_manage(const struct path *path, bool rcu_walk)
{
	own_callback(__func__);
	return 0;
}

#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 10, 0)
static struct dentry *own_d_real(struct dentry *dentry, enum d_real_type type)
#else
static struct dentry *own_d_real(struct dentry *dentry, const struct inode *inode)
#endif
{
	own_callback(__func__);
	return dentry;
}

#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 14, 0)
static bool own_d_unalias_trylock(const struct dentry *dentry)
{
	own_callback(__func__);
	return true;
}

static void own_d_unalias_unlock(const struct dentry *dentry)
{
	own_callback(__func__);
}
#endif

const struct dentry_operations own_dentry_operations = {
	.d_revalidate = own_d_revalidate,
	.d_weak_revalidate = own_d_weak_revalidate,
	.d_hash = own_d_hash,
	.d_compare = own_d_compare,
	.d_delete = own_d_delete,
	.d_init = own_d_init,
	.d_release = own_d_release,
	.d_prune = own_d_prune,
	.d_iput = own_d_iput,
	.d_dname = own_d_dname,
	.d_automount = own_d_automount,
	.d_manage = own_d_manage,
	.d_real = own_d_real,
#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 14, 0)
	.d_unalias_trylock = own_d_unalias_trylock,
	.d_unalias_unlock = own_d_unalias_unlock,
#endif
};

#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 14, 0)
#define CALL_REVALIDATE(own, flags)							\
	((own).dentry->d_op->d_revalidate(d_inode((own).place.parent.dentry), &(own).dentry->d_name, (own).dentry, flags))
#else
#define CALL_REVALIDATE(own, flags) ((own).dentry->d_op->d_revalidate((own).dentry, flags))
#endif
#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 10, 0)
#define REAL_OF(own) D_REAL_DATA
#else
#define REAL_OF(own) ((own).inode)
#endif

static __always_inline struct path path_of(const struct own *own)
{
	return (struct path){ .mnt = own->place.parent.mnt, .dentry = own->dentry };
}

OWN_CALL(d_revalidate, 0, CALL_REVALIDATE(own, how->in_rcu_walk ? LOOKUP_RCU : 0) == 1 ? 0 : -EIO)
OWN_CALL(d_weak_revalidate, 0, own.dentry->d_op->d_weak_revalidate(own.dentry, 0) == 1 ? 0 : -EIO)
OWN_CALL(d_hash, 0, own.dentry->d_op->d_hash(own.place.parent.dentry, &(struct qstr)QSTR_INIT("name", 4)))
OWN_CALL(d_compare, RENAME_LOCK,
	 own.dentry->d_op->d_compare(own.dentry, 4, "name", &(struct qstr)QSTR_INIT("name", 4)))
OWN_CALL(d_delete, D_LOCK, own.dentry->d_op->d_delete(own.dentry))
OWN_CALL(d_init, 0, own.dentry->d_op->d_init(own.dentry))
OWN_CALL(d_release, 0, (own.dentry->d_op->d_release(own.dentry), 0))
OWN_CALL(d_prune, D_LOCK, (own.dentry->d_op->d_prune(own.dentry), 0))
OWN_CALL(d_iput, 0, (own.dentry->d_op->d_iput(own.dentry, own.inode), 0))
OWN_CALL(d_dname, 0, PTR_ERR_OR_ZERO(own.dentry->d_op->d_dname(own.dentry, (char[32]){}, 32)))
OWN_CALL(d_automount, 0, ({
	struct path path = path_of(&own);

	PTR_ERR_OR_ZERO(own.dentry->d_op->d_automount(&path));
}))
OWN_CALL(d_manage, 0, ({
	struct path path = path_of(&own);

	own.dentry->d_op->d_manage(&path, how->in_rcu_walk);
}))
OWN_CALL(d_real, 0, PTR_ERR_OR_ZERO(own.dentry->d_op->d_real(own.dentry, REAL_OF(own))))
#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 14, 0)
OWN_CALL(d_unalias_trylock, RENAME_LOCK, own.dentry->d_op->d_unalias_trylock(own.dentry) ? 0 : -EIO)
OWN_CALL(d_unalias_unlock, RENAME_LOCK, (own.dentry->d_op->d_unalias_unlock(own.dentry), 0))
#else
OWN_CALL_NOT_OFFERED(d_unalias_trylock)
OWN_CALL_NOT_OFFERED(d_unalias_unlock)
#endif

#define OWN_DENTRY_FAULTS(FAULT)							\
	FAULT(d_revalidate, d_revalidate_preemption_off, "d_revalidate.may_block", .context = PREEMPTION_OFF) \
	FAULT(d_revalidate_rcu, d_revalidate_sleeps, "d_revalidate.must_not_sleep", .in_rcu_walk = true, .misdeed = SLEEP) \
	FAULT(d_weak_revalidate, d_weak_revalidate_in_rcu, "d_weak_revalidate.may_block", .context = IN_RCU) \
	FAULT(d_hash, d_hash_sleeps, "d_hash.must_not_sleep", .misdeed = SLEEP)		\
	FAULT(d_compare, d_compare_no_lock, "d_compare.rename_lock", .rename_lock = NOT_HELD) \
	FAULT(d_compare, d_compare_sleeps, "d_compare.must_not_sleep", .misdeed = SLEEP)	\
	FAULT(d_delete, d_delete_no_lock, "d_delete.d_lock", .dentry_lock = NOT_HELD)	\
	FAULT(d_delete, d_delete_sleeps, "d_delete.must_not_sleep", .misdeed = SLEEP)	\
	FAULT(d_init, d_init_under_spinlock, "d_init.may_block", .context = UNDER_SPINLOCK) \
	FAULT(d_release, d_release_preemption_off, "d_release.may_block", .context = PREEMPTION_OFF) \
	FAULT(d_prune, d_prune_no_lock, "d_prune.d_lock", .dentry_lock = NOT_HELD)		\
	FAULT(d_prune, d_prune_sleeps, "d_prune.must_not_sleep", .misdeed = SLEEP)	\
	FAULT(d_iput, d_iput_interrupts_off, "d_iput.may_block", .context = INTERRUPTS_OFF) \
	FAULT(d_dname, d_dname_sleeps, "d_dname.must_not_sleep", .misdeed = SLEEP)	\
	FAULT(d_automount, d_automount_in_rcu, "d_automount.may_block", .context = IN_RCU) \
	FAULT(d_manage, d_manage_preemption_off, "d_manage.may_block", .context = PREEMPTION_OFF) \
	FAULT(d_manage_rcu, d_manage_sleeps, "d_manage.must_not_sleep", .in_rcu_walk = true, .misdeed = SLEEP) \
	FAULT(d_real, d_real_under_spinlock, "d_real.may_block", .context = UNDER_SPINLOCK) \
	FAULT(d_unalias_trylock, d_unalias_trylock_no_lock, "d_unalias_trylock.rename_lock", .rename_lock = NOT_HELD) \
	FAULT(d_unalias_trylock, d_unalias_trylock_sleeps, "d_unalias_trylock.must_not_sleep", .misdeed = SLEEP) \
	FAULT(d_unalias_unlock, d_unalias_unlock_no_lock, "d_unalias_unlock.rename_lock", .rename_lock = NOT_HELD) \
	FAULT(d_unalias_unlock, d_unalias_unlock_sleeps, "d_unalias_unlock.must_not_sleep", .misdeed = SLEEP)

static __always_inline int d_revalidate_rcu_with(const struct call *call, const struct locking *how)
{
	return d_revalidate_with(call, how);
}

static __always_inline int d_manage_rcu_with(const struct call *call, const struct locking *how)
{
	return d_manage_with(call, how);
}

DEFINE_CORRECT(d_revalidate)
DEFINE_CORRECT(d_revalidate_rcu, .in_rcu_walk = true)
DEFINE_CORRECT(d_weak_revalidate)
DEFINE_CORRECT(d_hash)
DEFINE_CORRECT(d_compare)
DEFINE_CORRECT(d_delete)
DEFINE_CORRECT(d_init)
DEFINE_CORRECT(d_release)
DEFINE_CORRECT(d_prune)
DEFINE_CORRECT(d_iput)
DEFINE_CORRECT(d_dname)
DEFINE_CORRECT(d_automount)
DEFINE_CORRECT(d_manage)
DEFINE_CORRECT(d_manage_rcu, .in_rcu_walk = true)
DEFINE_CORRECT(d_real)
DEFINE_CORRECT(d_unalias_trylock)
DEFINE_CORRECT(d_unalias_unlock)
OWN_DENTRY_FAULTS(DEFINE_FAULT)

const struct fault own_dentry_faults[] = { OWN_DENTRY_FAULTS(FAULT_ENTRY) {} };
