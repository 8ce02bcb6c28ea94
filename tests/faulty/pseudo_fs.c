// SPDX-License-Identifier: GPL-2.0
/*
 * vfs_faulty_fs: a file system for the faults that no real one can be made to commit from outside.
 *
 * Nothing is stored: a file lasts as long as the dcache keeps its dentry. Its callbacks misbehave when this module asks for it
 * (own.h); here are those of inodes, elsewhere (own_*.c) those of the other operations tables.
 */
#include <linux/fs_context.h>
#include <linux/module.h>
#include <linux/stat.h>

#include "own.h"

#define TABLE "inode_operations"

#define VFS_FAULTY_FS_MAGIC 0x76666c74
static struct inode *new_pseudo_inode(struct super_block *sb, umode_t mode);

static int pseudo_permission(vfs_faulty_idmap *idmap, struct inode *inode, int mask)
{
	own_callback(__func__);
	return generic_permission(idmap, inode, mask);
}

static int pseudo_getattr(vfs_faulty_idmap *idmap, const struct path *path, struct kstat *status, u32 wanted,
			  unsigned int flags)
{
	own_callback(__func__);
	return simple_getattr(idmap, path, status, wanted, flags);
}

static struct dentry *pseudo_lookup(struct inode *dir, struct dentry *dentry, unsigned int flags)
{
	d_add(dentry, NULL);
	return NULL;
}

static int pseudo_add(struct inode *dir, struct dentry *dentry, umode_t mode)
{
	struct inode *inode = new_pseudo_inode(dir->i_sb, S_IFREG | (mode & 0777));

	if (!inode)
		return -ENOSPC;
	if (d_in_lookup(dentry))
		d_add(dentry, inode);
	else
		d_instantiate(dentry, inode);
	return 0;
}

/* `file` is NULL when the call comes from this module. */
static int pseudo_atomic_open(struct inode *dir, struct dentry *dentry, struct file *file, unsigned int flags,
			      umode_t mode)
{
	own_callback(__func__);
	if ((flags & O_CREAT) && d_really_is_negative(dentry)) {
		int error = pseudo_add(dir, dentry, mode);

		if (error)
			return error;
		if (file)
			file->f_mode |= FMODE_CREATED;
	} else if (d_in_lookup(dentry)) {
		d_add(dentry, NULL);
	}
	return file ? finish_no_open(file, NULL) : 0;
}

static int pseudo_unlink(struct inode *dir, struct dentry *dentry)
{
	drop_nlink(d_inode(dentry));
	return 0;
}

#if LINUX_VERSION_CODE >= KERNEL_VERSION(7, 3, 0)
static int pseudo_create(vfs_faulty_idmap *idmap, struct inode *dir, struct dentry *dentry, umode_t mode)
#else
static int pseudo_create(vfs_faulty_idmap *idmap, struct inode *dir, struct dentry *dentry, umode_t mode, bool excl)
#endif
{
	return pseudo_add(dir, dentry, mode);
}

static const struct inode_operations pseudo_dir_operations = {
	.lookup = pseudo_lookup,
	.create = pseudo_create,
	.unlink = pseudo_unlink,
	.atomic_open = pseudo_atomic_open,
	.permission = pseudo_permission,
	.setattr = simple_setattr,
	.getattr = simple_getattr,
};

static const struct inode_operations pseudo_file_operations = {
	.permission = pseudo_permission,
	.setattr = simple_setattr,
	.getattr = pseudo_getattr,
};

static struct inode *new_pseudo_inode(struct super_block *sb, umode_t mode)
{
	struct inode *inode = new_inode(sb);

	if (!inode)
		return NULL;
	inode->i_ino = get_next_ino();
	inode->i_mode = mode;
	set_new_inode_times(inode);
	if (S_ISDIR(mode)) {
		inode->i_op = &pseudo_dir_operations;
		inode->i_fop = &simple_dir_operations;
		inc_nlink(inode);
	} else {
		inode->i_op = &pseudo_file_operations;
		inode->i_fop = &own_file_operations;
		inode->i_mapping->a_ops = &own_address_space_operations;
	}
	/* Folios under writeback are not in the mapping, where the tags would be. */
	mapping_set_no_writeback_tags(inode->i_mapping);
	return inode;
}

static int pseudo_fill_super(struct super_block *sb, struct fs_context *context)
{
	struct inode *root;

	sb->s_magic = VFS_FAULTY_FS_MAGIC;
	sb->s_blocksize = PAGE_SIZE;
	sb->s_blocksize_bits = PAGE_SHIFT;
	sb->s_maxbytes = MAX_LFS_FILESIZE;
	sb->s_op = &own_super_operations;
	sb->s_xattr = xattr_handlers_of(own_xattr_handlers);
	sb->dq_op = &own_dquot_operations;
	set_default_dentry_operations(sb, &own_dentry_operations);
	root = new_pseudo_inode(sb, S_IFDIR | 0755);
	if (!root)
		return -ENOMEM;
	sb->s_root = d_make_root(root);
	return sb->s_root ? 0 : -ENOMEM;
}

static int pseudo_get_tree(struct fs_context *context)
{
	return get_tree_nodev(context, pseudo_fill_super);
}

static const struct fs_context_operations pseudo_context_operations = {
	.get_tree = pseudo_get_tree,
};

static int pseudo_init_context(struct fs_context *context)
{
	context->ops = &pseudo_context_operations;
	return 0;
}

struct file_system_type pseudo_fs_type = {
	.owner = THIS_MODULE,
	.name = "vfs_faulty_fs",
	.init_fs_context = pseudo_init_context,
	.kill_sb = own_kill_sb,
#if LINUX_VERSION_CODE < KERNEL_VERSION(7, 0, 0)
	.mount = own_mount,
#endif
};

int pseudo_fs_register(void)
{
	int error = own_inodes_create_cache();

	if (error)
		return error;
	error = register_filesystem(&pseudo_fs_type);
	if (error)
		own_inodes_destroy_cache();
	return error;
}

void pseudo_fs_unregister(void)
{
	unregister_filesystem(&pseudo_fs_type);
	own_inodes_destroy_cache();
}

/* PATH is a file of this file system. The call itself is made outside RCU, where sleeping does no harm. */
OWN_CALL(permission, 0, own.inode->i_op->permission(idmap_of(&own.place.parent), own.inode,
						    MAY_READ | (how->may_not_block ? MAY_NOT_BLOCK : 0)))

/* PATH is a file of this file system, whose ->getattr() never sleeps, whatever it is called in. */
OWN_CALL(getattr, 0, ({
	const struct path path = { .mnt = own.place.parent.mnt, .dentry = own.dentry };
	struct kstat status = {};

	own.inode->i_op->getattr(idmap_of(&path), &path, &status, STATX_BASIC_STATS, 0);
}))

/* PATH is a new name in this file system. */
static __always_inline int atomic_open_with_flags(const struct call *call, const struct locking *how,
						  unsigned int flags)
{
	struct guard guard = {};
	struct place place;
	struct inode *dir;
	int error = place_open(&place, call->path);

	if (error)
		return error;
	dir = place_dir(&place);
	error = dir->i_op == &pseudo_dir_operations ? 0 : -EINVAL;
	if (!error)
		error = guard_acquire(&guard, dir, how->dir, I_MUTEX_PARENT, NULL);
	if (!error)
		error = place_expect(&place, false);
	if (!error)
		error = dir->i_op->atomic_open(dir, place.child, NULL, flags, 0644);
	guard_release(&guard);
	place_close(&place);
	return error;
}

static __always_inline int atomic_open_with(const struct call *call, const struct locking *how)
{
	return atomic_open_with_flags(call, how, O_RDWR);
}

static __always_inline int atomic_create_with(const struct call *call, const struct locking *how)
{
	return atomic_open_with_flags(call, how, O_RDWR | O_CREAT);
}

#define PSEUDO_FS_FAULTS(FAULT)								\
	FAULT(permission, permission_sleep, "permission.rcu_walk", .may_not_block = true, .misdeed = SLEEP) \
	FAULT(getattr, getattr_preemption_off, "getattr.may_block", .context = PREEMPTION_OFF) \
	FAULT(getattr, getattr_interrupts_off, "getattr.may_block", .context = INTERRUPTS_OFF) \
	FAULT(getattr, getattr_in_rcu, "getattr.may_block", .context = IN_RCU)		\
	FAULT(getattr, getattr_under_spinlock, "getattr.may_block", .context = UNDER_SPINLOCK) \
	FAULT(atomic_open, atomic_open_no_lock, "atomic_open", .dir = NOT_HELD)	\
	FAULT(atomic_create, atomic_open_shared_creat, "atomic_open.create", .dir = SHARED)

DEFINE_CORRECT(permission, .may_not_block = true)
DEFINE_CORRECT(getattr)
DEFINE_CORRECT(atomic_open, .dir = SHARED)
DEFINE_CORRECT(atomic_create)
PSEUDO_FS_FAULTS(DEFINE_FAULT)

const struct fault pseudo_fs_faults[] = { PSEUDO_FS_FAULTS(FAULT_ENTRY) {} };
