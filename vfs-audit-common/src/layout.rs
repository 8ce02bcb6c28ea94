//! The layout, proved at compile time: a changed size or a hole is a build error on both sides.

use core::mem::{offset_of, size_of};

use crate::{
    Control, CountedKey, Event, FlagReader, HeldLock, HookPlace, HookPlan, LockdepOffsets, ObservationKey, OrderReader,
    Pending, RoleReader, SlotReader, TaskLocks, WatchFrame, WatchReader,
};

const _: () = {
    assert!(size_of::<RoleReader>() == 16);
    assert!(size_of::<SlotReader>() == 4);
    assert!(size_of::<FlagReader>() == 16);
    assert!(size_of::<WatchReader>() == 4);
    assert!(size_of::<OrderReader>() == 16);
    assert!(size_of::<HookPlan>() == 24 + 3 * 8 + 8 + 16 + 10 * 16 + (8 + 4 + 4) * 4 + 2 * 16 + 16 * 16);
    assert!(size_of::<ObservationKey>() == 40);
    assert!(offset_of!(ObservationKey, slots) == 32);
    assert!(size_of::<HookPlace>() == 16);
    assert!(size_of::<CountedKey>() == 16 + 40);
    assert!(size_of::<Control>() == 80);
    assert!(size_of::<LockdepOffsets>() == 8 + 10 * 4);
    assert!(size_of::<HeldLock>() == 24);
    assert!(size_of::<WatchFrame>() == 16 + 8 + 24 + 24 + 48 + 32);
    assert!(size_of::<Pending>() == 40 + 16);
    assert!(size_of::<TaskLocks>() == 64 + 8 * 8 + 8 * 16 + 2 * 16 * 24 + 8 * 152);
    assert!(offset_of!(Event, key) == 16);
    assert!(offset_of!(Event, comm) == 64);
    assert!(offset_of!(Event, roles) == 128);
    assert!(offset_of!(Event, words) == 256);
    assert!(offset_of!(Event, held) == 392);
    assert!(offset_of!(Event, exclusive) == 776);
    assert!(offset_of!(Event, stack) == 1160);
    assert!(size_of::<Event>() == 1416);
};

/// Plain data for aya's maps: `repr(C)`, no padding (proved above), every bit pattern valid.
#[cfg(feature = "daemon")]
mod pod {
    macro_rules! pod {
        ($($name:ty),+) => {$(
            // SAFETY: `repr(C)` of integers and arrays of them, without padding.
            unsafe impl aya::Pod for $name {}
        )+};
    }
    pod!(
        crate::HookPlan,
        crate::HookPlace,
        crate::ObservationKey,
        crate::TaskLocks,
        crate::KernelOffsets,
        crate::LockdepOffsets,
        crate::CountedKey,
        crate::Control,
        crate::Pending,
        crate::ContextBase
    );
}
