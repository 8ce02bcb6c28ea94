// SPDX-License-Identifier: GPL-2.0
/*
 * file_lock_operations and lock_manager_operations (since 6.9: lease_manager_operations for leases) of the module's own file
 * system, and faults of calls through them.
 *
 * PATH is a file on which the calling process holds a lock, so that the inode has a lock context. The lock of the call itself is
 * in no list. A lock of an own file gets its operations when it is in its list, so that the kernel never copies it: that is done
 * without i_lock since locks have had a lock of their own, which the document does not know.
 */
#include "own.h"

static void own_fl_copy_lock(struct file_lock *new, struct file_lock *lock)
{
	own_callback(__func__);
}

static void own_fl_release_private(struct file_lock *lock)
{
	own_callback(__func__);
}

static void own_lm_notify(struct file_lock *lock)
{
	own_callback(__func__);
}

static int own_lm_grant(struct file_lock *lock, int result)
{
	own_callback(__func__);
	return 0;
}

static bool own_lm_lock_expirable(struct file_lock *lock)
{
	own_callback(__func__);
	return false;
}

static void own_lm_expire_lock(void)
{
	own_callback(__func__);
}

#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 9, 0)
typedef struct file_lease own_lease;
#else
typedef struct file_lock own_lease;
#endif

static bool own_lm_break(own_lease *lease)
{
	own_callback(__func__);
	return false;
}

static int own_lm_change(own_lease *lease, int type, struct list_head *disposed)
{
	own_callback(__func__);
	return own_is_called() ? 0 : lease_modify(lease, type, disposed);
}

static bool own_lm_breaker_owns_lease(own_lease *lease)
{
	own_callback(__func__);
	return false;
}

static const struct file_lock_operations own_lock_operations = {
	.fl_copy_lock = own_fl_copy_lock,
	.fl_release_private = own_fl_release_private,
};

static const struct lock_manager_operations own_lock_manager_operations = {
	.lm_notify = own_lm_notify,
	.lm_grant = own_lm_grant,
	.lm_lock_expirable = own_lm_lock_expirable,
	.lm_expire_lock = own_lm_expire_lock,
#if LINUX_VERSION_CODE < KERNEL_VERSION(6, 9, 0)
	.lm_break = own_lm_break,
	.lm_change = own_lm_change,
	.lm_breaker_owns_lease = own_lm_breaker_owns_lease,
#endif
};

#if LINUX_VERSION_CODE >= KERNEL_VERSION(7, 2, 0)
#define HAS_OPEN_CONFLICT 1
static int own_lm_open_conflict(struct file *file, int type)
{
	own_callback(__func__);
	return 0;
}

static bool own_lm_breaker_timedout(struct file_lease *lease)
{
	own_callback(__func__);
	return false;
}
#endif

#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 9, 0)
static const struct lease_manager_operations own_lease_manager_operations = {
	.lm_break = own_lm_break,
	.lm_change = own_lm_change,
	.lm_breaker_owns_lease = own_lm_breaker_owns_lease,
#ifdef HAS_OPEN_CONFLICT
	.lm_open_conflict = own_lm_open_conflict,
	.lm_breaker_timedout = own_lm_breaker_timedout,
#endif
};
#define own_lease_operations own_lease_manager_operations
#else
#define own_lease_operations own_lock_manager_operations
#endif

/* A lock that is held, and its lease, are found with these operations. */
void own_locks_mark(struct file *file)
{
	struct file_lock_context *locks = file_inode(file)->i_flctx;
	struct file_lock *lock;

	if (!locks)
		return;
	spin_lock(&locks->flc_lock);
#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 9, 0)
	list_for_each_entry(lock, &locks->flc_posix, c.flc_list) {
#else
	list_for_each_entry(lock, &locks->flc_posix, fl_list) {
#endif
		lock->fl_ops = &own_lock_operations;
		lock->fl_lmops = &own_lock_manager_operations;
	}
	spin_unlock(&locks->flc_lock);
}

void own_lease_mark(void *lease)
{
	((own_lease *)lease)->fl_lmops = &own_lease_operations;
}

/* A lock and a lease of the file, as a lock manager would make them. */
static void describe(struct own *own, struct file_lock *lock, own_lease *lease)
{
	locks_init_lock(lock);
	lock->fl_ops = &own_lock_operations;
	lock->fl_lmops = &own_lock_manager_operations;
#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 9, 0)
	lock->c.flc_file = own->file;
	locks_init_lease(lease);
	lease->c.flc_file = own->file;
	lease->c.flc_flags = FL_LEASE;
#else
	lock->fl_file = own->file;
	locks_init_lock(lease);
	lease->fl_file = own->file;
	lease->fl_flags = FL_LEASE;
#endif
	lease->fl_lmops = &own_lease_operations;
}

/* Read at the call: else the compiler, which sees them set, makes it a direct one. */
#define LEASE_OPERATIONS READ_ONCE(lease.fl_lmops)
#define LOCK_OPERATIONS READ_ONCE(lock.fl_lmops)

#define OWN_LOCK_CALL(op, locks, invoke)						\
	OWN_CALL(op, locks, ({								\
		struct file_lock lock, copy __maybe_unused;				\
		own_lease lease;							\
											\
		describe(&own, &lock, &lease);						\
		(invoke);								\
	}))

OWN_LOCK_CALL(fl_copy_lock, I_LOCK, (lock.fl_ops->fl_copy_lock(&copy, &lock), 0))
OWN_LOCK_CALL(lm_notify, BLOCKED_LOCK_LOCK, (LOCK_OPERATIONS->lm_notify(&lock), 0))
OWN_LOCK_CALL(lm_grant, 0, LOCK_OPERATIONS->lm_grant(&lock, 0))
OWN_LOCK_CALL(lm_lock_expirable, FLC_LOCK, LOCK_OPERATIONS->lm_lock_expirable(&lock))
OWN_LOCK_CALL(lm_expire_lock, 0, (LOCK_OPERATIONS->lm_expire_lock(), 0))
OWN_LOCK_CALL(lm_break, FLC_LOCK, LEASE_OPERATIONS->lm_break(&lease))
OWN_LOCK_CALL(lm_change, FLC_LOCK, LEASE_OPERATIONS->lm_change(&lease, F_UNLCK, NULL))
OWN_LOCK_CALL(lm_breaker_owns_lease, FLC_LOCK, LEASE_OPERATIONS->lm_breaker_owns_lease(&lease))
#ifdef HAS_OPEN_CONFLICT
OWN_LOCK_CALL(lm_open_conflict, FLC_LOCK, LEASE_OPERATIONS->lm_open_conflict(own.file, F_RDLCK))
OWN_LOCK_CALL(lm_breaker_timedout, FLC_LOCK, LEASE_OPERATIONS->lm_breaker_timedout(&lease))
#else
OWN_CALL_NOT_OFFERED(lm_open_conflict)
OWN_CALL_NOT_OFFERED(lm_breaker_timedout)
#endif

#define TABLE "file_lock_operations"

#define OWN_LOCK_FAULTS(FAULT)								\
	FAULT(fl_copy_lock, fl_copy_lock_no_lock, "fl_copy_lock", .i_lock = NOT_HELD)	\
	FAULT(fl_copy_lock, fl_copy_lock_sleeps, "fl_copy_lock.must_not_sleep", .misdeed = SLEEP)

DEFINE_CORRECT(fl_copy_lock)
OWN_LOCK_FAULTS(DEFINE_FAULT)

const struct fault own_lock_faults[] = { OWN_LOCK_FAULTS(FAULT_ENTRY) {} };

#undef TABLE
#define TABLE "lock_manager_operations"

#define OWN_LOCK_MANAGER_FAULTS(FAULT)							\
	FAULT(lm_notify, lm_notify_no_lock, "lm_notify.blocked_lock_lock", .blocked_lock_lock = NOT_HELD) \
	FAULT(lm_grant, lm_grant_sleeps, "lm_grant.must_not_sleep", .misdeed = SLEEP)	\
	FAULT(lm_break, lm_break_no_lock, "lm_break.flc_lock", .flc_lock = NOT_HELD)	\
	FAULT(lm_break, lm_break_sleeps, "lm_break.must_not_sleep", .misdeed = SLEEP)	\
	FAULT(lm_change, lm_change_no_lock, "lm_change.flc_lock", .flc_lock = NOT_HELD)	\
	FAULT(lm_change, lm_change_sleeps, "lm_change.must_not_sleep", .misdeed = SLEEP)	\
	FAULT(lm_breaker_owns_lease, lm_breaker_owns_lease_no_lock, "lm_breaker_owns_lease.flc_lock", \
	      .flc_lock = NOT_HELD)							\
	FAULT(lm_lock_expirable, lm_lock_expirable_no_lock, "lm_lock_expirable.flc_lock", .flc_lock = NOT_HELD) \
	FAULT(lm_expire_lock, lm_expire_lock_preemption_off, "lm_expire_lock.may_block", .context = PREEMPTION_OFF) \
	FAULT(lm_open_conflict, lm_open_conflict_no_lock, "lm_open_conflict.flc_lock", .flc_lock = NOT_HELD) \
	FAULT(lm_breaker_timedout, lm_breaker_timedout_no_lock, "lm_breaker_timedout.flc_lock", .flc_lock = NOT_HELD)

DEFINE_CORRECT(lm_notify)
DEFINE_CORRECT(lm_grant)
DEFINE_CORRECT(lm_break)
DEFINE_CORRECT(lm_change)
DEFINE_CORRECT(lm_breaker_owns_lease)
DEFINE_CORRECT(lm_lock_expirable)
DEFINE_CORRECT(lm_expire_lock)
DEFINE_CORRECT(lm_open_conflict)
DEFINE_CORRECT(lm_breaker_timedout)
OWN_LOCK_MANAGER_FAULTS(DEFINE_FAULT)

const struct fault own_lock_manager_faults[] = { OWN_LOCK_MANAGER_FAULTS(FAULT_ENTRY) {} };
