//! Groups of images of similar aspect ratios, so that whole images can share a batch without padding.
//!
//! Separate from the order of images, which does not know their sizes.
//! Invariant: groups depend on the sizes of all images and on the batch size alone, so every process finds the same ones.

/// Groups per doubling of the ratio of columns to rows: 4:3 and 3:2 are in two of them.
const PER_DOUBLING: f64 = 6.0;
/// Moves the limits of groups away from 1:1, 5:4, 4:3, 3:2, 16:9 and 2:1, upright or not.
const OFFSET: f64 = 0.25;

/// Which images can share a batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Aspects {
    /// The group of every image, from 0.
    of_images: Vec<u16>,
    /// Columns and rows of the median image of each group, which its batches are shaped like.
    shapes: Vec<[u32; 2]>,
}

impl Aspects {
    /// Groups images of these columns and rows. A group of fewer than `least` is merged with its neighbor.
    ///
    /// # Source
    /// `[torchvision references/detection/group_by_aspect_ratio.py create_aspect_ratio_groups]`. Deviation: twice as many
    /// groups per doubling, because images of a group are stretched to one shape and not padded; groups are merged.
    pub(crate) fn new(sizes: &[[u32; 2]], least: usize) -> Self {
        let aspect = |image: usize| f64::from(sizes[image][0].max(1)) / f64::from(sizes[image][1].max(1));
        let bin = |image: usize| (PER_DOUBLING * aspect(image).log2() + OFFSET).floor() as i32;
        let mut images: Vec<usize> = (0..sizes.len()).collect();
        images.sort_by(|&a, &b| aspect(a).total_cmp(&aspect(b)));
        let mut groups: Vec<Vec<usize>> = Vec::new();
        for bin in images.chunk_by(|&a, &b| bin(a) == bin(b)) {
            match groups.last_mut().filter(|group| group.len() < least) {
                Some(small) => small.extend(bin),
                None => groups.push(bin.to_vec()),
            }
        }
        if let Some(last) = groups.pop_if(|last| last.len() < least) {
            match groups.last_mut() {
                Some(neighbor) => neighbor.extend(last),
                None => groups.push(last),
            }
        }
        let mut of_images = vec![0; sizes.len()];
        for (number, group) in groups.iter().enumerate() {
            group.iter().for_each(|&image| of_images[image] = number as u16);
        }
        let shapes = groups.iter().map(|group| sizes[group[group.len() / 2]]).collect();
        Self { of_images, shapes }
    }

    /// The group of an image.
    pub(crate) fn group(&self, image: u32) -> usize {
        self.of_images[image as usize].into()
    }

    /// Number of groups.
    pub(crate) fn len(&self) -> usize {
        self.shapes.len()
    }

    /// Columns and rows of an image that the batches with this image are shaped like.
    pub(crate) fn shape(&self, image: u32) -> [u32; 2] {
        self.shapes[self.group(image)]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn groups(sizes: &[[u32; 2]], least: usize) -> Vec<usize> {
        let aspects = Aspects::new(sizes, least);
        (0..sizes.len() as u32).map(|image| aspects.group(image)).collect()
    }

    #[test]
    fn common_ratios_are_apart_and_not_at_a_limit() {
        let ratios = [[1, 1], [4, 3], [3, 2], [16, 9], [2, 1], [3, 4], [2, 3], [9, 16], [1, 2]];
        for (number, ratio) in ratios.into_iter().enumerate() {
            let about = |[columns, rows]: [u32; 2]| {
                [[0, 0], [10, 0], [0, 10]].map(|[more, taller]| [1000 * columns + more, 1000 * rows + taller])
            };
            assert_eq!(groups(&about(ratio), 1), [0; 3], "{ratio:?}");
            let others = ratios[..number].iter().copied();
            for other in others {
                assert_ne!(groups(&[ratio, other], 1), [0, 0], "{ratio:?} {other:?}");
            }
        }
    }

    #[test]
    fn small_groups_are_merged_with_their_neighbors() {
        let sizes = [[40, 30], [30, 40], [40, 30], [60, 40], [90, 30], [30, 30]];
        assert_eq!(groups(&sizes, 1), [2, 0, 2, 3, 4, 1]);
        assert_eq!(groups(&sizes, 2), [1, 0, 1, 2, 2, 0]);
        assert_eq!(groups(&sizes, 4), [0; 6]);
        assert_eq!(groups(&sizes, 9), [0; 6]);
        assert!(groups(&[], 2).is_empty());
    }

    #[test]
    fn a_group_is_shaped_like_its_median() {
        let aspects = Aspects::new(&[[640, 480], [130, 100], [1000, 748], [30, 40]], 1);
        assert_eq!(aspects.len(), 2);
        assert_eq!([0, 1, 2].map(|image| aspects.shape(image)), [[640, 480]; 3]);
        assert_eq!(aspects.shape(3), [30, 40]);
    }
}
