//! Numbers of other machines.

use super::layouts::{assert_image_kept, damage_after};
use super::naive::append_in_host_order;
use crate::elfgen::{Machine, Order, Segments, Spec};

/// Numbers of a big-endian object, written as this machine writes them, make an object that no loader reads. Debian's
/// ports for s390x, mips and ppc64 are that; class and byte order are all that the editor needs to know of a machine.
#[test]
fn big_endian() {
    use Machine::*;
    let test = "big_endian";
    for machine in [Aarch64Be, ArmBe, M68k, Mips, Mips64, Parisc, Ppc, Ppc64, S390, S390x, Sparc64] {
        assert_eq!(machine.order(), Order::Big, "{machine:?}");
        for spec in [Spec::library(machine).null_slot(), Spec::pie(machine).bss(64).segments(Segments::CodeFirst)] {
            let spec = spec.runpath("$ORIGIN/old");
            assert_image_kept(&spec, &format!("{machine:?}"), test);
            let damage = damage_after(&spec, &append_in_host_order);
            assert!(!damage.is_empty(), "{machine:?}: naive");
        }
    }
}
