// SPDX-License-Identifier: GPL-2.0
/*
 * file_operations of the module's own file system, and faults of calls through them.
 */
#include <linux/module.h>
#include <linux/poll.h>
#include <linux/seq_file.h>
#include <linux/splice.h>

#include "own.h"

#include <linux/falloc.h> /* needs types before it */

#define TABLE "file_operations"

static loff_t own_llseek(struct file *file, loff_t offset, int whence)
{
	own_callback(__func__);
	return offset;
}

static ssize_t own_read(struct file *file, char __user *buffer, size_t count, loff_t *position)
{
	own_callback(__func__);
	return 0;
}

static ssize_t own_write(struct file *file, const char __user *buffer, size_t count, loff_t *position)
{
	own_callback(__func__);
	return count;
}

static ssize_t own_read_iter(struct kiocb *iocb, struct iov_iter *iter)
{
	own_callback(__func__);
	return 0;
}

static ssize_t own_write_iter(struct kiocb *iocb, struct iov_iter *iter)
{
	own_callback(__func__);
	return 0;
}

static int own_iopoll(struct kiocb *iocb, struct io_comp_batch *batch, unsigned int flags)
{
	own_callback(__func__);
	return 0;
}

static __poll_t own_poll(struct file *file, struct poll_table_struct *table)
{
	own_callback(__func__);
	return 0;
}

static long own_ioctl(struct file *file, unsigned int command, unsigned long argument)
{
	own_callback(__func__);
	return -ENOTTY;
}

static long own_compat_ioctl(struct file *file, unsigned int command, unsigned long argument)
{
	own_callback(__func__);
	return -ENOIOCTLCMD;
}

static int own_mmap(struct file *file, struct vm_area_struct *area)
{
	own_callback(__func__);
	if (!own_is_called())
		area->vm_ops = &own_vm_operations;
	return 0;
}

static int own_open_file(struct inode *inode, struct file *file)
{
	own_callback(__func__);
	return 0;
}

static int own_flush(struct file *file, fl_owner_t owner)
{
	own_callback(__func__);
	return 0;
}

static int own_release_file(struct inode *inode, struct file *file)
{
	own_callback(__func__);
	return 0;
}

static int own_fsync(struct file *file, loff_t start, loff_t end, int datasync)
{
	own_callback(__func__);
	return 0;
}

static int own_fasync(int descriptor, struct file *file, int on)
{
	if (own_callback(__func__) == NOT_CALLED)
		return 0;
	spin_lock(&file->f_lock);
	if (on)
		file->f_flags |= FASYNC;
	else
		file->f_flags &= ~FASYNC;
	spin_unlock(&file->f_lock);
	return 0;
}

static int own_lock(struct file *file, int command, struct file_lock *lock)
{
	int error;

	own_callback(__func__);
	if (own_is_called())
		return 0;
	error = posix_lock_file(file, lock, NULL);
	if (!error)
		own_locks_mark(file);
	return error;
}

static int own_check_flags(int flags)
{
	own_callback(__func__);
	return 0;
}

static int own_flock(struct file *file, int command, struct file_lock *lock)
{
	own_callback(__func__);
	return own_is_called() ? 0 : locks_lock_file_wait(file, lock);
}

#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 9, 0)
static int own_setlease(struct file *file, int type, struct file_lease **lease, void **private)
#elif LINUX_VERSION_CODE >= KERNEL_VERSION(6, 6, 0)
static int own_setlease(struct file *file, int type, struct file_lock **lease, void **private)
#else
static int own_setlease(struct file *file, long type, struct file_lock **lease, void **private)
#endif
{
	if (own_callback(__func__) == NOT_CALLED)
		return 0;
	if (lease && *lease)
		own_lease_mark(*lease);
	return generic_setlease(file, type, lease, private);
}

/* The lock that keeps readers of a range out, as far as the callback behaves. */
static void guard_range(struct file *file, enum misdeed misdeed)
{
	if (misdeed == NO_LOCK)
		return;
	filemap_invalidate_lock(file_inode(file)->i_mapping);
	filemap_invalidate_unlock(file_inode(file)->i_mapping);
}

static long own_fallocate(struct file *file, int mode, loff_t offset, loff_t length)
{
	enum misdeed misdeed = own_misdeed(__func__);

	if (!own_is_called())
		return -EOPNOTSUPP;
	/* As file systems do: beyond the end nothing is there to drop, and no lock is taken. */
	if (offset < i_size_read(file_inode(file)))
		guard_range(file, misdeed);
	return 0;
}

static ssize_t own_copy_file_range(struct file *source, loff_t from, struct file *target, loff_t to, size_t length,
				   unsigned int flags)
{
	enum misdeed misdeed = own_misdeed(__func__);

	if (!own_is_called())
		return -EXDEV;
	guard_range(target, misdeed);
	return length;
}

static loff_t own_remap_file_range(struct file *source, loff_t from, struct file *target, loff_t to, loff_t length,
				   unsigned int flags)
{
	enum misdeed misdeed = own_misdeed(__func__);

	if (!own_is_called())
		return -EXDEV;
	guard_range(target, misdeed);
	return length;
}

static ssize_t own_splice_write(struct pipe_inode_info *pipe, struct file *file, loff_t *position, size_t length,
				unsigned int flags)
{
	own_callback(__func__);
	return 0;
}

static ssize_t own_splice_read(struct file *file, loff_t *position, struct pipe_inode_info *pipe, size_t length,
			       unsigned int flags)
{
	own_callback(__func__);
	return 0;
}

static void own_show_fdinfo(struct seq_file *seq, struct file *file)
{
	own_callback(__func__);
}

static int own_fadvise(struct file *file, loff_t offset, loff_t length, int advice)
{
	own_callback(__func__);
	return 0;
}

static unsigned long own_get_unmapped_area(struct file *file, unsigned long address, unsigned long length,
					   unsigned long offset, unsigned long flags)
{
	own_callback(__func__);
	return own_is_called() ? address : GET_UNMAPPED_AREA(file, address, length, offset, flags);
}

const struct file_operations own_file_operations = {
	.owner = THIS_MODULE,
	.llseek = own_llseek,
	.read = own_read,
	.write = own_write,
	.read_iter = own_read_iter,
	.write_iter = own_write_iter,
	.iopoll = own_iopoll,
	.poll = own_poll,
	.unlocked_ioctl = own_ioctl,
	.compat_ioctl = own_compat_ioctl,
	.mmap = own_mmap,
	.open = own_open_file,
	.flush = own_flush,
	.release = own_release_file,
	.fsync = own_fsync,
	.fasync = own_fasync,
	.lock = own_lock,
	.get_unmapped_area = own_get_unmapped_area,
	.check_flags = own_check_flags,
	.flock = own_flock,
	.splice_write = own_splice_write,
	.splice_read = own_splice_read,
	.setlease = own_setlease,
	.fallocate = own_fallocate,
	.show_fdinfo = own_show_fdinfo,
	.copy_file_range = own_copy_file_range,
	.remap_file_range = own_remap_file_range,
	.fadvise = own_fadvise,
};

#define FOPS(own) ((own).file->f_op)

OWN_CALL(llseek, 0, FOPS(own)->llseek(own.file, 0, SEEK_SET))
OWN_CALL(read, 0, FOPS(own)->read(own.file, NULL, 0, NULL))
OWN_CALL(write, 0, FOPS(own)->write(own.file, NULL, 0, NULL))
OWN_CALL(read_iter, 0, FOPS(own)->read_iter(&(struct kiocb){ .ki_filp = own.file }, NULL))
OWN_CALL(write_iter, 0, FOPS(own)->write_iter(&(struct kiocb){ .ki_filp = own.file }, NULL))
OWN_CALL(iopoll, 0, FOPS(own)->iopoll(&(struct kiocb){ .ki_filp = own.file }, NULL, 0))
OWN_CALL(poll, 0, FOPS(own)->poll(own.file, NULL))
OWN_CALL(unlocked_ioctl, 0, FOPS(own)->unlocked_ioctl(own.file, 0, 0) == -ENOTTY ? 0 : -EIO)
OWN_CALL(compat_ioctl, 0, FOPS(own)->compat_ioctl(own.file, 0, 0) == -ENOIOCTLCMD ? 0 : -EIO)
OWN_CALL(mmap, 0, FOPS(own)->mmap(own.file, NULL))
OWN_CALL(open, 0, FOPS(own)->open(own.inode, own.file))
OWN_CALL(flush, 0, FOPS(own)->flush(own.file, NULL))
OWN_CALL(release, 0, FOPS(own)->release(own.inode, own.file))
OWN_CALL(fsync, 0, FOPS(own)->fsync(own.file, 0, LLONG_MAX, 0))
OWN_CALL(fasync, 0, ({
	int result = FOPS(own)->fasync(-1, own.file, 1);

	own.file->f_flags &= ~FASYNC;
	result;
}))
OWN_CALL(lock, 0, FOPS(own)->lock(own.file, F_SETLK, NULL))
OWN_CALL(get_unmapped_area, 0, FOPS(own)->get_unmapped_area(own.file, 0, PAGE_SIZE, 0, 0))
OWN_CALL(check_flags, 0, FOPS(own)->check_flags(0))
OWN_CALL(flock, 0, FOPS(own)->flock(own.file, F_SETLK, NULL))
OWN_CALL(splice_write, 0, FOPS(own)->splice_write(NULL, own.file, NULL, 0, 0))
OWN_CALL(splice_read, 0, FOPS(own)->splice_read(own.file, NULL, NULL, 0, 0))
OWN_CALL(show_fdinfo, 0, (FOPS(own)->show_fdinfo(NULL, own.file), 0))
OWN_CALL(fadvise, 0, FOPS(own)->fadvise(own.file, 0, 0, 0))

/* Two holes: one beyond the file's end, and one within it. */
OWN_CALL(fallocate, 0, ({
	const int punch = FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE;

	i_size_write(file_inode(own.file), PAGE_SIZE);
	FOPS(own)->fallocate(own.file, punch, PAGE_SIZE, PAGE_SIZE) ?:
	FOPS(own)->fallocate(own.file, punch, 0, PAGE_SIZE);
}))

OWN_CALL(fallocate_in, 0, FOPS(own)->fallocate(own.file, 0, 0, PAGE_SIZE))
OWN_CALL(copy_file_range, 0, FOPS(own)->copy_file_range(own.file, 0, own.file, PAGE_SIZE, 1, 0) == 1 ? 0 : -EIO)
OWN_CALL(remap_file_range, 0, FOPS(own)->remap_file_range(own.file, 0, own.file, PAGE_SIZE, 1, 0) == 1 ? 0 : -EIO)

/*
 * A lease that generic_setlease() is asked to remove, and of which there is none: that is an error, and no lease is left behind.
 * The callback that asks nobody says that it has succeeded.
 */
OWN_CALL(setlease, 0, ({
	void *private = own.file;
	int result = FOPS(own)->setlease(own.file, F_UNLCK, NULL, &private);

	result == -EAGAIN ? 0 : result;
}))

#define OWN_FILE_FAULTS(FAULT)								\
	FAULT(llseek, llseek_preemption_off, "llseek.may_block", .context = PREEMPTION_OFF) \
	FAULT(read, read_interrupts_off, "read.may_block", .context = INTERRUPTS_OFF)	\
	FAULT(write, write_under_spinlock, "write.may_block", .context = UNDER_SPINLOCK)	\
	FAULT(read_iter, read_iter_in_rcu, "read_iter.may_block", .context = IN_RCU)	\
	FAULT(write_iter, write_iter_preemption_off, "write_iter.may_block", .context = PREEMPTION_OFF) \
	FAULT(iopoll, iopoll_under_spinlock, "iopoll.may_block", .context = UNDER_SPINLOCK) \
	FAULT(poll, poll_in_rcu, "poll.may_block", .context = IN_RCU)			\
	FAULT(unlocked_ioctl, unlocked_ioctl_preemption_off, "unlocked_ioctl.may_block", .context = PREEMPTION_OFF) \
	FAULT(compat_ioctl, compat_ioctl_under_spinlock, "compat_ioctl.may_block", .context = UNDER_SPINLOCK) \
	FAULT(mmap, mmap_in_rcu, "mmap.may_block", .context = IN_RCU)			\
	FAULT(open, open_preemption_off, "open.may_block", .context = PREEMPTION_OFF)	\
	FAULT(flush, flush_interrupts_off, "flush.may_block", .context = INTERRUPTS_OFF)	\
	FAULT(release, release_under_spinlock, "release.may_block", .context = UNDER_SPINLOCK) \
	FAULT(fsync, fsync_preemption_off, "fsync.may_block", .context = PREEMPTION_OFF)	\
	FAULT(fasync, fasync_sets_nothing, "fasync.flag", .misdeed = NOT_CALLED)		\
	FAULT(fasync, fasync_in_rcu, "fasync.may_block", .context = IN_RCU)		\
	FAULT(lock, lock_preemption_off, "lock.may_block", .context = PREEMPTION_OFF)	\
	FAULT(get_unmapped_area, get_unmapped_area_in_rcu, "get_unmapped_area.may_block", .context = IN_RCU) \
	FAULT(check_flags, check_flags_preemption_off, "check_flags.may_block", .context = PREEMPTION_OFF) \
	FAULT(flock, flock_under_spinlock, "flock.may_block", .context = UNDER_SPINLOCK)	\
	FAULT(splice_write, splice_write_in_rcu, "splice_write.may_block", .context = IN_RCU) \
	FAULT(splice_read, splice_read_preemption_off, "splice_read.may_block", .context = PREEMPTION_OFF) \
	FAULT(setlease, setlease_asks_nobody, "setlease.generic_setlease", .misdeed = NOT_CALLED) \
	FAULT(fallocate, fallocate_punches_unguarded, "fallocate.invalidate_lock", .misdeed = NO_LOCK) \
	FAULT(fallocate_in, fallocate_preemption_off, "fallocate.may_block", .misdeed = NO_LOCK, \
	      .context = PREEMPTION_OFF)							\
	FAULT(show_fdinfo, show_fdinfo_in_rcu, "show_fdinfo.may_block", .context = IN_RCU) \
	FAULT(copy_file_range, copy_file_range_unguarded, "copy_file_range.invalidate_lock", .misdeed = NO_LOCK) \
	FAULT(remap_file_range, remap_file_range_unguarded, "remap_file_range.invalidate_lock", .misdeed = NO_LOCK) \
	FAULT(fadvise, fadvise_preemption_off, "fadvise.may_block", .context = PREEMPTION_OFF)

DEFINE_CORRECT(llseek)
DEFINE_CORRECT(read)
DEFINE_CORRECT(write)
DEFINE_CORRECT(read_iter)
DEFINE_CORRECT(write_iter)
DEFINE_CORRECT(iopoll)
DEFINE_CORRECT(poll)
DEFINE_CORRECT(unlocked_ioctl)
DEFINE_CORRECT(compat_ioctl)
DEFINE_CORRECT(mmap)
DEFINE_CORRECT(open)
DEFINE_CORRECT(flush)
DEFINE_CORRECT(release)
DEFINE_CORRECT(fsync)
DEFINE_CORRECT(fasync)
DEFINE_CORRECT(lock)
DEFINE_CORRECT(get_unmapped_area)
DEFINE_CORRECT(check_flags)
DEFINE_CORRECT(flock)
DEFINE_CORRECT(splice_write)
DEFINE_CORRECT(splice_read)
DEFINE_CORRECT(setlease)
DEFINE_CORRECT(fallocate)
DEFINE_CORRECT(fallocate_in)
DEFINE_CORRECT(show_fdinfo)
DEFINE_CORRECT(copy_file_range)
DEFINE_CORRECT(remap_file_range)
DEFINE_CORRECT(fadvise)
OWN_FILE_FAULTS(DEFINE_FAULT)

const struct fault own_file_faults[] = { OWN_FILE_FAULTS(FAULT_ENTRY) {} };
