// SPDX-License-Identifier: GPL-2.0
/*
 * file_system_type of the module's own file system, and faults of calls through it.
 *
 * The kernel mounts by ->init_fs_context(). ->mount() is there for the calls of this module, on the kernels that have it;
 * ->kill_sb() does the same to a superblock's lock as the real one, but nothing else, when this module calls it.
 */
#include <linux/fs_context.h>

#include "own.h"

#define TABLE "file_system_type"

void own_kill_sb(struct super_block *sb)
{
	enum misdeed misdeed = own_callback(__func__);

	if (!own_is_called()) {
		kill_anon_super(sb);
		return;
	}
	/* What was not acquired before must be, to be released. */
	if (misdeed == NO_LOCK)
		down_write(&sb->s_umount);
	if (misdeed == UNLOCK)
		up_read(&sb->s_umount);
	else if (misdeed != KEEP_LOCKED)
		up_write(&sb->s_umount);
}

OWN_CALL(kill_sb, S_UMOUNT, ({
	own.sb->s_type->kill_sb(own.sb);
	/* Released by the callback. */
	if (how->misdeed != KEEP_LOCKED)
		own.s_umount.rwsem = NULL;
	0;
}))

#if LINUX_VERSION_CODE < KERNEL_VERSION(7, 0, 0)
struct dentry *own_mount(struct file_system_type *type, int flags, const char *device, void *data)
{
	enum misdeed misdeed = own_callback(__func__);
	struct fs_context *context = fs_context_for_mount(type, 0);
	struct super_block *sb;
	struct dentry *root;
	int error;

	if (IS_ERR(context))
		return ERR_CAST(context);
	error = vfs_get_tree(context);
	if (error) {
		put_fs_context(context);
		return ERR_PTR(error);
	}
	root = dget(context->root);
	sb = root->d_sb;
	/* The context drops its reference; s_umount stays held. */
	atomic_inc(&sb->s_active);
	put_fs_context(context);
	if (misdeed == UNLOCK)
		up_write(&sb->s_umount);
	return root;
}

OWN_CALL(mount, 0, ({
	struct dentry *root = own.sb->s_type->mount(own.sb->s_type, 0, "none", NULL);
	struct super_block *sb = IS_ERR(root) ? NULL : root->d_sb;

	own_called();
	if (sb && how->misdeed == UNLOCK)
		down_write(&sb->s_umount);
	if (sb) {
		dput(root);
		deactivate_locked_super(sb);
	}
	PTR_ERR_OR_ZERO(root);
}))
#else
OWN_CALL_NOT_OFFERED(mount)
#endif

#define OWN_TYPE_FAULTS(FAULT)								\
	FAULT(mount, mount_returns_unlocked, "mount.locked", .misdeed = UNLOCK)		\
	FAULT(kill_sb, kill_sb_no_lock, "kill_sb", .s_umount = NOT_HELD, .misdeed = NO_LOCK) \
	FAULT(kill_sb, kill_sb_shared, "kill_sb", .s_umount = SHARED, .misdeed = UNLOCK)	\
	FAULT(kill_sb, kill_sb_keeps_lock, "kill_sb.unlocks", .misdeed = KEEP_LOCKED)	\
	FAULT(kill_sb, kill_sb_preemption_off, "kill_sb.may_block", .context = PREEMPTION_OFF)

DEFINE_CORRECT(mount)
DEFINE_CORRECT(kill_sb)
OWN_TYPE_FAULTS(DEFINE_FAULT)

const struct fault own_type_faults[] = { OWN_TYPE_FAULTS(FAULT_ENTRY) {} };
