/* SPDX-License-Identifier: GPL-2.0 */
/* The callbacks of address_space_operations that own_writeback.c and own_readahead.c implement. */
#ifndef VFS_FAULTY_OWN_PAGES_H
#define VFS_FAULTY_OWN_PAGES_H

#include <linux/pagemap.h>
#include <linux/swap.h>
#include <linux/writeback.h>

void own_readahead(struct readahead_control *window);
int own_writepages(struct address_space *mapping, struct writeback_control *control);
#if LINUX_VERSION_CODE < KERNEL_VERSION(6, 16, 0)
int own_writepage(struct page *page, struct writeback_control *control);
#endif
int own_swap_activate(struct swap_info_struct *swap, struct file *file, sector_t *span);
void own_swap_deactivate(struct file *file);

#endif
