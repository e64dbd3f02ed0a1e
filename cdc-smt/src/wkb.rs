//! Well-known binary: geometries with and without their SRID, and their coordinates swapped.

/// The flag of PostGIS's extended form that says an SRID follows.
const HAS_SRID: u32 = 0x2000_0000;
const HAS_Z: u32 = 0x8000_0000;
const HAS_M: u32 = 0x4000_0000;

/// Collections in collections are not deeper than that in any real data.
const DEEPEST: u32 = 64;

fn u32_at(bytes: &[u8], at: usize, little: bool) -> Option<u32> {
    let four: [u8; 4] = bytes.get(at..at.checked_add(4)?)?.try_into().ok()?;
    Some(if little { u32::from_le_bytes(four) } else { u32::from_be_bytes(four) })
}

fn bytes_of(number: u32, little: bool) -> [u8; 4] {
    if little { number.to_le_bytes() } else { number.to_be_bytes() }
}

fn is_little(bytes: &[u8]) -> Option<bool> {
    bytes.first().map(|order| *order == 1)
}

/// Whether the geometry has an SRID in it; `None` where it is too short to tell.
pub(crate) fn is_extended(wkb: &[u8]) -> Option<bool> {
    Some(u32_at(wkb, 1, is_little(wkb)?)? & HAS_SRID != 0)
}

/// The geometry with an SRID in it.
pub(crate) fn with_srid(wkb: &[u8], srid: u32) -> Option<Vec<u8>> {
    let little = is_little(wkb)?;
    let kind = u32_at(wkb, 1, little)?;
    let mut out = Vec::with_capacity(wkb.len() + 4);
    out.push(*wkb.first()?);
    out.extend_from_slice(&bytes_of(kind | HAS_SRID, little));
    out.extend_from_slice(&bytes_of(srid, little));
    out.extend_from_slice(wkb.get(5..)?);
    Some(out)
}

/// The geometry without its SRID.
pub(crate) fn without_srid(wkb: &[u8]) -> Option<Vec<u8>> {
    let little = is_little(wkb)?;
    let kind = u32_at(wkb, 1, little)?;
    let mut out = Vec::with_capacity(wkb.len());
    out.push(*wkb.first()?);
    out.extend_from_slice(&bytes_of(kind & !HAS_SRID, little));
    out.extend_from_slice(wkb.get(9..)?);
    Some(out)
}

/// The geometry with the first two coordinates of every point swapped; `None` where it is broken or unknown.
pub(crate) fn swapped(wkb: &[u8]) -> Option<Vec<u8>> {
    let mut out = wkb.to_vec();
    geometry(&mut out, 0, DEEPEST)?;
    Some(out)
}

/// Swaps in the geometry that begins here; gives where it ends.
fn geometry(bytes: &mut [u8], start: usize, depth: u32) -> Option<usize> {
    let depth = depth.checked_sub(1)?;
    let little = *bytes.get(start)? == 1;
    let kind = u32_at(bytes, start + 1, little)?;
    let mut at = start + 5;
    if kind & HAS_SRID != 0 {
        at += 4;
    }
    let plain = kind & 0x0fff_ffff;
    let (base, dimensions_of_iso) = (plain % 1_000, plain / 1_000);
    let mut dimensions = 2;
    if kind & HAS_Z != 0 || matches!(dimensions_of_iso, 1 | 3) {
        dimensions += 1;
    }
    if kind & HAS_M != 0 || matches!(dimensions_of_iso, 2 | 3) {
        dimensions += 1;
    }
    let count = |bytes: &[u8], at: &mut usize| {
        let count = u32_at(bytes, *at, little)?;
        *at += 4;
        Some(count)
    };
    match base {
        1 => at = points(bytes, at, 1, dimensions)?,
        2 => {
            let number = count(bytes, &mut at)?;
            at = points(bytes, at, number, dimensions)?;
        }
        3 => {
            for _ in 0..count(bytes, &mut at)? {
                let number = count(bytes, &mut at)?;
                at = points(bytes, at, number, dimensions)?;
            }
        }
        4..=7 => {
            for _ in 0..count(bytes, &mut at)? {
                at = geometry(bytes, at, depth)?;
            }
        }
        _ => return None,
    }
    Some(at)
}

fn points(bytes: &mut [u8], mut at: usize, count: u32, dimensions: usize) -> Option<usize> {
    for _ in 0..count {
        let point = bytes.get_mut(at..at.checked_add(dimensions * 8)?)?;
        let (x, rest) = point.split_at_mut(8);
        x.swap_with_slice(rest.get_mut(..8)?);
        at += dimensions * 8;
    }
    Some(at)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn point(x: f64, y: f64) -> Vec<u8> {
        let mut out = vec![1, 1, 0, 0, 0];
        out.extend_from_slice(&x.to_le_bytes());
        out.extend_from_slice(&y.to_le_bytes());
        out
    }

    #[test]
    fn an_srid_goes_in_and_out_again() {
        let plain = point(1.0, 2.0);
        let extended = with_srid(&plain, 4326).unwrap();
        assert_eq!(is_extended(&extended), Some(true));
        assert_eq!(without_srid(&extended).unwrap(), plain);
        assert_eq!(is_extended(&plain[..1]), None);
    }

    #[test]
    fn points_of_collections_are_swapped() {
        let mut collection = vec![1, 7, 0, 0, 0, 2, 0, 0, 0];
        collection.extend(point(1.0, 2.0));
        collection.extend(point(3.0, 4.0));
        let mut expected = vec![1, 7, 0, 0, 0, 2, 0, 0, 0];
        expected.extend(point(2.0, 1.0));
        expected.extend(point(4.0, 3.0));
        assert_eq!(swapped(&collection).unwrap(), expected);
        assert_eq!(swapped(&collection[..20]), None);
    }
}
