//! Addresses with a mask.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// All addresses that are like `address` where `mask` has ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Network {
    pub(super) address: IpAddr,
    /// As wide as the address.
    mask: u128,
}

impl Network {
    /// Reads `ADDRESS/BITS`.
    pub(super) fn with_bits(text: &str) -> Option<Self> {
        let (address, bits) = text.split_once('/')?;
        let address: IpAddr = address.parse().ok()?;
        let ones: u32 = bits.parse().ok().filter(|bits| *bits <= width(address))?;
        let zeros = width(address).saturating_sub(ones);
        let mask = u128::MAX.checked_shl(zeros).unwrap_or(0);
        Some(Self { address, mask })
    }

    /// Both columns; of one family. The mask's ones needn't come first.
    pub(super) fn with_mask(address: &str, mask: &str) -> Option<Self> {
        let (address, mask): (IpAddr, IpAddr) = (address.parse().ok()?, mask.parse().ok()?);
        (address.is_ipv4() == mask.is_ipv4()).then(|| Self { address, mask: number(mask) })
    }

    pub(super) fn mask(&self) -> IpAddr {
        match self.address {
            IpAddr::V4(_) => Ipv4Addr::from_bits(self.mask as u32).into(),
            IpAddr::V6(_) => Ipv6Addr::from_bits(self.mask).into(),
        }
    }

    pub(super) fn contains(&self, other: IpAddr) -> bool {
        let differ = number(self.address) ^ number(other);
        self.address.is_ipv4() == other.is_ipv4() && differ & self.mask & ones(self.address) == 0
    }
}

fn width(address: IpAddr) -> u32 {
    if address.is_ipv4() { u32::BITS } else { u128::BITS }
}

fn ones(address: IpAddr) -> u128 {
    if address.is_ipv4() { u32::MAX.into() } else { u128::MAX }
}

fn number(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(address) => address.to_bits().into(),
        IpAddr::V6(address) => address.to_bits(),
    }
}
