// SPDX-License-Identifier: GPL-2.0
/*
 * A disk of the module's own, without capacity, and faults of calls through its block_device_operations.
 *
 * Not here: swap_slot_free_notify, whose rule names a lock that has not guarded swap slots for long.
 */
#include <linux/bio.h>
#include <linux/blkdev.h>
#include <linux/module.h>
#include <linux/mutex.h>

#include "own.h"

#define TABLE "block_device_operations"

static struct gendisk *disk;

static void own_submit_bio(struct bio *bio)
{
	own_callback(__func__);
	bio_io_error(bio);
}

#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 5, 0)
static int own_disk_open(struct gendisk *opened, blk_mode_t mode)
#else
static int own_disk_open(struct block_device *opened, fmode_t mode)
#endif
{
	own_callback(__func__);
	return 0;
}

#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 5, 0)
static void own_disk_release(struct gendisk *released)
#else
static void own_disk_release(struct gendisk *released, fmode_t mode)
#endif
{
	own_callback(__func__);
}

static const struct block_device_operations own_disk_operations = {
	.owner = THIS_MODULE,
	.submit_bio = own_submit_bio,
	.open = own_disk_open,
	.release = own_disk_release,
};

int own_disk_create(void)
{
	int error;

#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 9, 0)
	disk = blk_alloc_disk(NULL, NUMA_NO_NODE);
	error = PTR_ERR_OR_ZERO(disk);
#else
	disk = blk_alloc_disk(NUMA_NO_NODE);
	error = disk ? 0 : -ENOMEM;
#endif
	if (error) {
		disk = NULL;
		return error;
	}
	disk->fops = &own_disk_operations;
	disk->flags |= GENHD_FL_NO_PART;
	strscpy(disk->disk_name, "vfs_faulty", DISK_NAME_LEN);
	error = add_disk(disk);
	if (error) {
		put_disk(disk);
		disk = NULL;
	}
	return error;
}

void own_disk_remove(void)
{
	if (!disk)
		return;
	del_gendisk(disk);
	put_disk(disk);
}

/* The disk's lock, of a disk that nobody else opens. */
struct disk_guard {
	bool is_held;
	struct other_task other;
};

static __always_inline int disk_guard_acquire(struct disk_guard *guard, enum hold how)
{
	if (how == EXCLUSIVE) {
		mutex_lock(&disk->open_mutex);
		guard->is_held = true;
	} else if (how == EXCLUSIVE_BY_OTHER) {
		guard->other = (struct other_task){ .mutex = &disk->open_mutex };
		return other_task_acquire(&guard->other);
	}
	return 0;
}

static __always_inline void disk_guard_release(struct disk_guard *guard)
{
	if (guard->is_held)
		mutex_unlock(&disk->open_mutex);
	else if (!IS_ERR_OR_NULL(guard->other.task))
		other_task_release(&guard->other);
}

#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 5, 0)
#define CALL_OPEN() disk->fops->open(disk, BLK_OPEN_READ)
#define CALL_RELEASE() disk->fops->release(disk)
#else
#define CALL_OPEN() disk->fops->open(disk->part0, FMODE_READ)
#define CALL_RELEASE() disk->fops->release(disk, FMODE_READ)
#endif

/* PATH is a file of the module's own file system, which has nothing to do with the disk. */
#define OWN_DISK_CALL(op, invoke)							\
	OWN_CALL(op, 0, ({								\
		struct disk_guard guard = {};						\
		int result = disk_guard_acquire(&guard, how->open_mutex);		\
											\
		if (!result)								\
			result = (invoke);						\
		disk_guard_release(&guard);						\
		result;									\
	}))

OWN_DISK_CALL(disk_open, CALL_OPEN())
OWN_DISK_CALL(disk_release, (CALL_RELEASE(), 0))

#define OWN_DISK_FAULTS(FAULT)								\
	FAULT(disk_open, disk_open_no_lock, "open", .open_mutex = NOT_HELD)		\
	FAULT(disk_open, disk_open_held_by_other, "open", .open_mutex = EXCLUSIVE_BY_OTHER) \
	FAULT(disk_release, disk_release_no_lock, "release", .open_mutex = NOT_HELD)	\
	FAULT(disk_release, disk_release_held_by_other, "release", .open_mutex = EXCLUSIVE_BY_OTHER)

DEFINE_CORRECT(disk_open)
DEFINE_CORRECT(disk_release)
OWN_DISK_FAULTS(DEFINE_FAULT)

const struct fault own_disk_faults[] = { OWN_DISK_FAULTS(FAULT_ENTRY) {} };
