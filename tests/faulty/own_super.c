// SPDX-License-Identifier: GPL-2.0
/*
 * super_operations of the module's own file system, and faults of calls through them.
 *
 * Not here: statfs inside ustat(2), where the VFS holds s_umount itself; a quota_read beside a quota_write, which would have to
 * break the rule of dqio_sem too; a free_inode that sleeps, since an RCU callback cannot.
 */
#include <linux/seq_file.h>
#include <linux/slab.h>
#include <linux/statfs.h>
#include <linux/writeback.h>

#include "own.h"

#define TABLE "super_operations"

static struct kmem_cache *inodes;

static void init_once(void *inode)
{
	inode_init_once(inode);
}

int own_inodes_create_cache(void)
{
	inodes = kmem_cache_create("vfs_faulty_inode", sizeof(struct inode), 0, SLAB_ACCOUNT, init_once);
	return inodes ? 0 : -ENOMEM;
}

void own_inodes_destroy_cache(void)
{
	/* Inodes are freed by RCU. */
	rcu_barrier();
	kmem_cache_destroy(inodes);
}

static struct inode *own_alloc_inode(struct super_block *sb)
{
	own_callback(__func__);
	return alloc_inode_sb(sb, inodes, GFP_ATOMIC);
}

static void own_free_inode(struct inode *inode)
{
	own_callback(__func__);
	kmem_cache_free(inodes, inode);
}

static void own_destroy_inode(struct inode *inode)
{
	own_callback(__func__);
}

static void own_dirty_inode(struct inode *inode, int flags)
{
	own_callback(__func__);
}

static int own_write_inode(struct inode *inode, struct writeback_control *wbc)
{
	own_callback(__func__);
	return 0;
}

/* As generic_drop_inode(), which has another name since 6.18. */
static int own_drop_inode(struct inode *inode)
{
	own_callback(__func__);
	return !inode->i_nlink || inode_unhashed(inode);
}

static void own_evict_inode(struct inode *inode)
{
	own_callback(__func__);
	if (own_is_called())
		return;
	truncate_inode_pages_final(inode->i_mapping);
	clear_inode(inode);
}

static void own_put_super(struct super_block *sb)
{
	own_callback(__func__);
}

static int own_sync_fs(struct super_block *sb, int wait)
{
	own_callback(__func__);
	return 0;
}

static int own_freeze_fs(struct super_block *sb)
{
	own_callback(__func__);
	return 0;
}

static int own_unfreeze_fs(struct super_block *sb)
{
	own_callback(__func__);
	return 0;
}

static int own_statfs(struct dentry *dentry, struct kstatfs *statistics)
{
	own_callback(__func__);
	return simple_statfs(dentry, statistics);
}

static void own_umount_begin(struct super_block *sb)
{
	own_callback(__func__);
}

static int own_show_options(struct seq_file *seq, struct dentry *root)
{
	own_callback(__func__);
	return 0;
}

static ssize_t own_quota_read(struct super_block *sb, int type, char *data, size_t length, loff_t offset)
{
	own_callback(__func__);
	return 0;
}

static ssize_t own_quota_write(struct super_block *sb, int type, const char *data, size_t length, loff_t offset)
{
	own_callback(__func__);
	return 0;
}

#if LINUX_VERSION_CODE < KERNEL_VERSION(7, 0, 0)
static int own_remount_fs(struct super_block *sb, int *flags, char *data)
{
	own_callback(__func__);
	return 0;
}
#endif

const struct super_operations own_super_operations = {
	.alloc_inode = own_alloc_inode,
	.free_inode = own_free_inode,
	.destroy_inode = own_destroy_inode,
	.dirty_inode = own_dirty_inode,
	.write_inode = own_write_inode,
	.drop_inode = own_drop_inode,
	.evict_inode = own_evict_inode,
	.put_super = own_put_super,
	.sync_fs = own_sync_fs,
	.freeze_fs = own_freeze_fs,
	.unfreeze_fs = own_unfreeze_fs,
	.statfs = own_statfs,
	.umount_begin = own_umount_begin,
	.show_options = own_show_options,
	.quota_read = own_quota_read,
	.quota_write = own_quota_write,
#if LINUX_VERSION_CODE < KERNEL_VERSION(7, 0, 0)
	.remount_fs = own_remount_fs,
#endif
};

/* An inode that is known to this call only. */
static struct inode *bare_inode(struct super_block *sb)
{
	struct inode *inode = kmem_cache_alloc(inodes, GFP_KERNEL);

	if (inode)
		inode->i_sb = sb;
	return inode;
}

/* free_inode() for an inode, from an RCU callback or not. */
struct freed {
	struct rcu_head head;
	struct inode *inode;
	struct completion done;
};

static noinline void vfs_faulty_free_inode_in_callback(struct rcu_head *head)
{
	struct freed *freed = container_of(head, struct freed, head);

	freed->inode->i_sb->s_op->free_inode(freed->inode);
	complete(&freed->done);
}

static noinline int vfs_faulty_free_inode_correctly(const struct call *call)
{
	const struct locking how = {};
	struct freed freed = {};
	struct own own;
	int error = own_open(&own, call, &how, 0);

	if (error)
		return error;
	freed.inode = bare_inode(own.sb);
	if (freed.inode) {
		init_completion(&freed.done);
		init_rcu_head_on_stack(&freed.head);
		call_rcu(&freed.head, vfs_faulty_free_inode_in_callback);
		wait_for_completion(&freed.done);
		destroy_rcu_head_on_stack(&freed.head);
	}
	/* The callback ran in another task, and so was not counted as reached. */
	own_close(&own, 0);
	return freed.inode ? 0 : -ENOMEM;
}

OWN_CALL(free_inode, 0, ({
	struct inode *inode = bare_inode(own.sb);

	inode ? (inode->i_sb->s_op->free_inode(inode), 0) : -ENOMEM;
}))
OWN_CALL(alloc_inode, 0, ({
	struct inode *inode = own.sb->s_op->alloc_inode(own.sb);

	inode ? (kmem_cache_free(inodes, inode), 0) : -ENOMEM;
}))
OWN_CALL(destroy_inode, 0, (own.sb->s_op->destroy_inode(own.inode), 0))
OWN_CALL(dirty_inode, 0, (own.sb->s_op->dirty_inode(own.inode, I_DIRTY_SYNC), 0))
OWN_CALL(write_inode, 0, ({
	struct writeback_control wbc = { .sync_mode = WB_SYNC_NONE };

	own.sb->s_op->write_inode(own.inode, &wbc);
}))
OWN_CALL(drop_inode, I_LOCK, (own.sb->s_op->drop_inode(own.inode), 0))
OWN_CALL(evict_inode, 0, (own.sb->s_op->evict_inode(own.inode), 0))
OWN_CALL(put_super, S_UMOUNT, (own.sb->s_op->put_super(own.sb), 0))
OWN_CALL(sync_fs, S_UMOUNT, own.sb->s_op->sync_fs(own.sb, 1))
OWN_CALL(freeze_fs, S_UMOUNT, own.sb->s_op->freeze_fs(own.sb))
OWN_CALL(unfreeze_fs, S_UMOUNT, own.sb->s_op->unfreeze_fs(own.sb))
OWN_CALL(statfs, 0, ({
	struct kstatfs statistics = {};

	own.sb->s_op->statfs(own.dentry, &statistics);
}))
OWN_CALL(umount_begin, 0, (own.sb->s_op->umount_begin(own.sb), 0))
OWN_CALL(show_options, NAMESPACE_SEM, own.sb->s_op->show_options(NULL, own.sb->s_root))
OWN_CALL(quota_read, DQIO_SEM, own.sb->s_op->quota_read(own.sb, 0, NULL, 0, 0))
OWN_CALL(quota_write, DQIO_SEM, own.sb->s_op->quota_write(own.sb, 0, NULL, 0, 0))
#if LINUX_VERSION_CODE < KERNEL_VERSION(7, 0, 0)
OWN_CALL(remount_fs, S_UMOUNT, own.sb->s_op->remount_fs(own.sb, &(int){ 0 }, NULL))
#else
OWN_CALL_NOT_OFFERED(remount_fs)
#endif

#define OWN_SUPER_FAULTS(FAULT)								\
	FAULT(alloc_inode, alloc_inode_preemption_off, "alloc_inode.may_block", .context = PREEMPTION_OFF) \
	FAULT(free_inode, free_inode_outside_callback, "free_inode.rcu_callback", .dir = EXCLUSIVE) \
	FAULT(destroy_inode, destroy_inode_under_spinlock, "destroy_inode.may_block", .context = UNDER_SPINLOCK) \
	FAULT(dirty_inode, dirty_inode_interrupts_off, "dirty_inode.may_block", .context = INTERRUPTS_OFF) \
	FAULT(write_inode, write_inode_in_rcu, "write_inode.may_block", .context = IN_RCU) \
	FAULT(drop_inode, drop_inode_no_lock, "drop_inode.i_lock", .i_lock = NOT_HELD)	\
	FAULT(drop_inode, drop_inode_sleeps, "drop_inode.must_not_sleep", .misdeed = SLEEP) \
	FAULT(evict_inode, evict_inode_preemption_off, "evict_inode.may_block", .context = PREEMPTION_OFF) \
	FAULT(put_super, put_super_no_lock, "put_super", .s_umount = NOT_HELD)		\
	FAULT(put_super, put_super_shared, "put_super", .s_umount = SHARED)		\
	FAULT(put_super, put_super_wrong_super, "put_super", .s_umount = OF_WRONG_INODE)	\
	FAULT(put_super, put_super_held_by_other, "put_super", .s_umount = EXCLUSIVE_BY_OTHER) \
	FAULT(put_super, put_super_shared_by_other, "put_super", .s_umount = SHARED_BY_OTHER) \
	FAULT(put_super, put_super_preemption_off, "put_super.may_block", .context = PREEMPTION_OFF) \
	FAULT(sync_fs, sync_fs_no_lock, "sync_fs", .s_umount = NOT_HELD)			\
	FAULT(sync_fs, sync_fs_shared_by_other, "sync_fs", .s_umount = SHARED_BY_OTHER)	\
	FAULT(sync_fs, sync_fs_under_spinlock, "sync_fs.may_block", .context = UNDER_SPINLOCK) \
	FAULT(freeze_fs, freeze_fs_no_lock, "freeze_fs", .s_umount = NOT_HELD)		\
	FAULT(freeze_fs, freeze_fs_shared, "freeze_fs", .s_umount = SHARED)		\
	FAULT(freeze_fs, freeze_fs_in_rcu, "freeze_fs.may_block", .context = IN_RCU)	\
	FAULT(unfreeze_fs, unfreeze_fs_no_lock, "unfreeze_fs", .s_umount = NOT_HELD)	\
	FAULT(unfreeze_fs, unfreeze_fs_shared, "unfreeze_fs", .s_umount = SHARED)	\
	FAULT(unfreeze_fs, unfreeze_fs_interrupts_off, "unfreeze_fs.may_block", .context = INTERRUPTS_OFF) \
	FAULT(statfs, statfs_preemption_off, "statfs.may_block", .context = PREEMPTION_OFF) \
	FAULT(remount_fs, remount_fs_no_lock, "remount_fs", .s_umount = NOT_HELD)	\
	FAULT(remount_fs, remount_fs_shared, "remount_fs", .s_umount = SHARED)		\
	FAULT(remount_fs, remount_fs_preemption_off, "remount_fs.may_block", .context = PREEMPTION_OFF) \
	FAULT(umount_begin, umount_begin_in_rcu, "umount_begin.may_block", .context = IN_RCU) \
	FAULT(show_options, show_options_no_lock, "show_options.namespace_sem", .namespace_sem = NOT_HELD) \
	FAULT(show_options, show_options_shared_by_other, "show_options.namespace_sem", .namespace_sem = SHARED_BY_OTHER) \
	FAULT(show_options, show_options_preemption_off, "show_options.may_block", .context = PREEMPTION_OFF) \
	FAULT(quota_read, quota_read_no_lock, "quota_read.dqio_sem", .dqio_sem = NOT_HELD) \
	FAULT(quota_read, quota_read_held_by_other, "quota_read.dqio_sem", .dqio_sem = EXCLUSIVE_BY_OTHER) \
	FAULT(quota_read, quota_read_preemption_off, "quota_read.may_block", .context = PREEMPTION_OFF) \
	FAULT(quota_write, quota_write_no_lock, "quota_write.dqio_sem", .dqio_sem = NOT_HELD) \
	FAULT(quota_write, quota_write_shared, "quota_write.dqio_sem", .dqio_sem = SHARED) \
	FAULT(quota_write, quota_write_in_rcu, "quota_write.may_block", .context = IN_RCU)

DEFINE_CORRECT(alloc_inode)
DEFINE_CORRECT(destroy_inode)
DEFINE_CORRECT(dirty_inode)
DEFINE_CORRECT(write_inode)
DEFINE_CORRECT(drop_inode)
DEFINE_CORRECT(evict_inode)
DEFINE_CORRECT(put_super)
DEFINE_CORRECT(sync_fs, .s_umount = SHARED)
DEFINE_CORRECT(freeze_fs)
DEFINE_CORRECT(unfreeze_fs)
DEFINE_CORRECT(statfs)
DEFINE_CORRECT(remount_fs)
DEFINE_CORRECT(umount_begin)
DEFINE_CORRECT(show_options, .namespace_sem = SHARED)
DEFINE_CORRECT(quota_read, .dqio_sem = SHARED)
DEFINE_CORRECT(quota_write)
OWN_SUPER_FAULTS(DEFINE_FAULT)

const struct fault own_super_faults[] = { OWN_SUPER_FAULTS(FAULT_ENTRY) {} };
