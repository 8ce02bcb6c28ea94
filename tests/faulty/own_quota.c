// SPDX-License-Identifier: GPL-2.0
/*
 * dquot_operations of the module's own file system. Those ops whose rule can still be kept: the others name locks that no
 * kernel has.
 */
#include "own.h"

#define TABLE "dquot_operations"

static int own_mark_dirty(struct dquot *dquot)
{
	struct super_block *sb = dquot->dq_sb;

	if (own_callback(__func__) == CALLED) {
		down_read(&sb->s_dquot.dqio_sem);
		sb->s_op->quota_read(sb, 0, NULL, 0, 0);
		up_read(&sb->s_dquot.dqio_sem);
	}
	return 0;
}

const struct dquot_operations own_dquot_operations = {
	.mark_dirty = own_mark_dirty,
};

OWN_CALL(mark_dirty, 0, ({
	struct dquot dquot = { .dq_sb = own.sb };

	own.sb->dq_op->mark_dirty(&dquot);
}))

#define OWN_QUOTA_FAULTS(FAULT)								\
	FAULT(mark_dirty, mark_dirty_recurses, "mark_dirty.recursion", .misdeed = CALLED)

DEFINE_CORRECT(mark_dirty)
OWN_QUOTA_FAULTS(DEFINE_FAULT)

const struct fault own_quota_faults[] = { OWN_QUOTA_FAULTS(FAULT_ENTRY) {} };
