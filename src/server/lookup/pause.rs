//! A pause that ends when it should: the runtime's timers end up to a millisecond later, and when exactly depends on
//! what its threads did meanwhile, which is what [`super::pace`] is there to hide.
//!
//! Depends on the kernel's timers where it has them as files (Linux).

use std::time::Instant;

use tokio::time::sleep_until;

/// Waits until `end`.
pub(super) async fn until(end: Instant) {
    #[cfg(target_os = "linux")]
    if timer::until(end).await.is_ok() {
        return;
    }
    sleep_until(end.into()).await;
}

#[cfg(target_os = "linux")]
mod timer {
    use std::io;
    use std::os::fd::OwnedFd;
    use std::time::{Duration, Instant};

    use rustix::time::{
        Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create,
        timerfd_settime,
    };
    use tokio::io::Interest;
    use tokio::io::unix::AsyncFd;

    /// # Errors
    /// No file descriptor is left.
    pub(super) async fn until(end: Instant) -> io::Result<()> {
        let left = end.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Ok(());
        }
        // Its replacement is unsafe, for the sake of types that lie about their descriptor. An OwnedFd doesn't.
        #[allow(deprecated)]
        let timer = AsyncFd::with_interest(set(left)?, Interest::READABLE)?;
        timer.readable().await?.retain_ready();
        Ok(())
    }

    fn set(left: Duration) -> io::Result<OwnedFd> {
        let timer =
            timerfd_create(TimerfdClockId::Monotonic, TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC)?;
        let once = Timespec { tv_sec: 0, tv_nsec: 0 };
        let it_value = Timespec::try_from(left).map_err(|_| io::ErrorKind::InvalidInput)?;
        timerfd_settime(&timer, TimerfdTimerFlags::empty(), &Itimerspec { it_interval: once, it_value })?;
        Ok(timer)
    }
}
