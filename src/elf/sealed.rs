//! Objects that verify themselves, or that another program verifies as a whole: what in a file says so.

use bstr::{BString, ByteSlice};

use super::notes;
use super::runs::all_zero;
use super::symbols::defines;
use super::view::ElfView;

/// Why the bytes of a file must stay as they are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Seal {
    /// A signature in a section of its own, which nothing loads.
    Section(BString),
    /// A signature behind everything else, as the kernel's `sign-file` appends it (`Linux certs/extract-cert.c`).
    Appended,
    /// OpenSSL's FIPS provider: `fipsinstall` notes the HMAC of the file in a configuration
    /// (`openssl providers/fips/self_test.c`).
    OpensslFips,
    /// An HMAC of what is loaded, headers included, in a note (`libgcrypt src/fips.c`).
    Integrity,
    /// SymCrypt hashes its own headers and read-only segments when it is loaded (`SymCrypt modules/linux/common/integrity.c`).
    SymCrypt,
}

/// What the kernel's tool puts behind a signature.
const APPENDED: &[u8] = b"~Module signature appended~\n";

/// Sections of signing tools: sbsign's kind for ELF, bsign, Solaris' elfsign, AppImage, OpenHarmony, kernels that verify
/// programs. AppImage makes its section for every file, and fills it where one is signed.
const SECTIONS: [&str; 9] =
    [".signature", "signature", ".sig", ".sign", ".gpg", ".SUNW_signature", ".codesign", ".sha256_sig", ".text_sig"];

/// libgcrypt's script writes the type byte by byte, big end first, whatever the machine.
const FDO_INTEGRITY: [u32; 2] = [0xcafe_2a8e, 0x8e2a_feca];

/// What says that an edit would break an object: headers, names and its end are looked at, never all of it.
#[must_use]
pub(crate) fn seal_of(view: &ElfView<'_>) -> Option<Seal> {
    if view.bytes.ends_with(APPENDED) {
        return Some(Seal::Appended);
    }
    let signed = view.sections.iter().filter(|section| !section.is_alloc()).find_map(|section| {
        let name = view.section_name(section).filter(|name| SECTIONS.iter().any(|known| name == known))?;
        let contents = section.file_range()?.of(view.bytes)?;
        (!all_zero(contents)).then(|| name.to_owned())
    });
    if let Some(name) = signed {
        return Some(Seal::Section(name));
    }
    let mut all = notes::of_segments(view).chain(notes::of_sections(view));
    if all.any(|note| note.owner == "FDO" && FDO_INTEGRITY.contains(&note.kind)) {
        return Some(Seal::Integrity);
    }
    // Other providers have the same entry, and no MAC of their module.
    if defines(view, &["OSSL_provider_init"]) && view.bytes.find(b"module-mac\0").is_some() {
        return Some(Seal::OpensslFips);
    }
    defines(view, &["SymCryptModuleInit"]).then_some(Seal::SymCrypt)
}
