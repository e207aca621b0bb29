//! Finds defects on parts after seeing good parts only: libdifferent for Rust.
//!
//! ```no_run
//! let model = differnet::Model::open("part.dnm")?;
//! let mut scorer = differnet::Scorer::new(&model, differnet::ScorerOptions::default().false_alarm_rate(0.01))?;
//! let score = scorer.score_path("photo.jpg")?;
//! if score.anomalous == 1 {
//!     println!("score {}, p-value {}", score.score, score.p_value);
//! }
//! # Ok::<(), differnet::Error>(())
//! ```
//!
//! Each method is one call of the C function of its name; what it does, ranges and errors are told in `differnet.h`.
//! [`Model`] and [`Extractor`] are shared: a clone is another reference, for any thread.  [`Scorer`], [`Localizer`] and
//! [`Trainer`] serve one call at a time, as `&mut self` says.  What is not wrapped is in [`sys`].
pub use differnet_sys as sys;

use std::any::Any;
use std::ffi::{CStr, CString};
use std::os::raw::{c_char, c_void};
use std::panic::{catch_unwind, resume_unwind, AssertUnwindSafe};
use std::path::Path;
use std::ptr::{null, null_mut, NonNull};
use std::{fmt, slice};

/// Why a call failed: one of `sys::DN_E_...`, and what, which file, what to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Error {
    pub status: i32,
    pub message: String,
}

pub type Result<T> = std::result::Result<T, Error>;

impl fmt::Display for Error {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.message)
    }
}

impl std::error::Error for Error {}

impl Error {
    fn argument(message: &str) -> Error {
        Error { status: sys::DN_E_ARGUMENT, message: message.to_string() }
    }
}

unsafe fn text(pointer: *const c_char) -> String {
    CStr::from_ptr(pointer).to_string_lossy().into_owned()
}

/// cause: what the call, or its handle, tells; may be null.
unsafe fn check(status: i32, cause: *const sys::dn_error) -> Result<()> {
    if status == sys::DN_OK {
        return Ok(());
    }
    let message = match cause.as_ref() {
        Some(error) if error.status == status => text(error.message.as_ptr()),
        _ => text(sys::dn_status_string(status)),
    };
    Err(Error { status, message })
}

/// A call that makes a handle.
unsafe fn make<T>(call: impl FnOnce(*mut *mut T, *mut sys::dn_error) -> i32) -> Result<NonNull<T>> {
    let (mut out, mut error) = (null_mut(), sys::dn_error { status: 0, message: [0; 252] });
    check(call(&mut out, &mut error), &error)?;
    Ok(NonNull::new(out).expect("a handle"))
}

fn c_path(path: impl AsRef<Path>) -> Result<CString> {
    #[cfg(unix)]
    let bytes = std::os::unix::ffi::OsStrExt::as_bytes(path.as_ref().as_os_str()).to_vec();
    #[cfg(not(unix))]
    let bytes = path.as_ref().to_string_lossy().into_owned().into_bytes();
    CString::new(bytes).map_err(|_| Error::argument("a path with a NUL byte"))
}

/// Sets a struct up by its init function.
macro_rules! initialised {
    ($name:ident, $init:ident) => {{
        let mut value = std::mem::MaybeUninit::<sys::$name>::zeroed();
        // SAFETY: the function writes as many bytes as it is told; all fields may be zero.
        unsafe {
            sys::$init(value.as_mut_ptr(), std::mem::size_of::<sys::$name>());
            value.assume_init()
        }
    }};
}

/// "major.minor.patch" of the library that runs.
pub fn version() -> String {
    unsafe { text(sys::dn_version()) }
}

// ---- images ----

/// How pixels lie in memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    Gray8,
    Gray16,
    Rgb8,
    Bgr8,
    Rgba8,
    Bgra8,
}

/// Pixels of somebody's, described, not copied.
#[derive(Clone, Copy)]
pub struct Pixels<'a> {
    raw: sys::dn_pixels,
    _bytes: std::marker::PhantomData<&'a [u8]>,
}

impl<'a> Pixels<'a> {
    /// stride: bytes from one row to the next; 0: tightly packed.
    pub fn new(bytes: &'a [u8], width: usize, height: usize, stride: usize, format: Format) -> Result<Pixels<'a>> {
        let (number, size) = match format {
            Format::Gray8 => (sys::DN_GRAY8, 1),
            Format::Gray16 => (sys::DN_GRAY16, 2),
            Format::Rgb8 => (sys::DN_RGB8, 3),
            Format::Bgr8 => (sys::DN_BGR8, 3),
            Format::Rgba8 => (sys::DN_RGBA8, 4),
            Format::Bgra8 => (sys::DN_BGRA8, 4),
        };
        let row = width.checked_mul(size);
        let step = if stride == 0 { row } else { Some(stride) };
        let needed = match (row, step) {
            (Some(row), Some(step)) if height > 0 && step >= row => {
                step.checked_mul(height - 1).and_then(|size| size.checked_add(row))
            }
            _ => None,
        };
        let (width, height) = (i32::try_from(width), i32::try_from(height));
        match (needed, width, height) {
            (Some(needed), Ok(width), Ok(height)) if needed <= bytes.len() => Ok(Pixels {
                raw: sys::dn_pixels {
                    pixels: bytes.as_ptr().cast(),
                    width,
                    height,
                    stride: stride as i64,
                    format: number,
                    reserved: 0,
                },
                _bytes: std::marker::PhantomData,
            }),
            _ => Err(Error::argument("fewer bytes than width, height, stride and format need")),
        }
    }
    pub fn width(&self) -> usize {
        self.raw.width as usize
    }
    pub fn height(&self) -> usize {
        self.raw.height as usize
    }
    fn area(&self) -> usize {
        self.width() * self.height()
    }
}

/// Draws a heat map over an image: (height, width, 3) bytes.
pub fn overlay(image: &Pixels, map: &[f32]) -> Result<Vec<u8>> {
    if map.len() != image.area() {
        return Err(Error::argument("the map has not the image's size"));
    }
    let (mut rgb, mut error) = (vec![0; 3 * map.len()], sys::dn_error { status: 0, message: [0; 252] });
    unsafe {
        let status = sys::dn_image_overlay(&image.raw, map.as_ptr(), 0.0, rgb.as_mut_ptr(), &mut error);
        check(status, &error)?;
    }
    Ok(rgb)
}

/// Writes a PNG, atomically.
pub fn write_png(image: &Pixels, path: impl AsRef<Path>) -> Result<()> {
    let (path, mut error) = (c_path(path)?, sys::dn_error { status: 0, message: [0; 252] });
    unsafe { check(sys::dn_image_write_png(&image.raw, path.as_ptr(), &mut error), &error) }
}

// ---- handles ----

/// A handle: its drop, and for a shared one its clone.
macro_rules! handle {
    ($(#[$doc:meta])* $name:ident, $raw:ident, $release:ident $(, $share:ident)?) => {
        $(#[$doc])*
        pub struct $name(NonNull<sys::$raw>);

        impl $name {
            /// For calls of [`sys`].
            pub fn as_ptr(&self) -> *mut sys::$raw {
                self.0.as_ptr()
            }
        }
        impl Drop for $name {
            fn drop(&mut self) {
                unsafe { sys::$release(self.as_ptr()) }
            }
        }
        // SAFETY: no handle is bound to a thread.
        unsafe impl Send for $name {}
        $(
            // SAFETY: immutable, counted atomically.
            unsafe impl Sync for $name {}
            impl Clone for $name {
                fn clone(&self) -> $name {
                    unsafe { $name(NonNull::new_unchecked(sys::$share(self.as_ptr()))) }
                }
            }
        )?
    };
}

handle!(
    /// The frozen network.
    Extractor, dn_extractor, dn_extractor_unref, dn_extractor_ref
);
handle!(
    /// Everything needed to score.
    Model, dn_model, dn_model_unref, dn_model_ref
);
handle!(
    /// Image to score, p-value, verdict.
    Scorer, dn_scorer, dn_scorer_free
);
handle!(
    /// Image to heat map and boxes.
    Localizer, dn_localizer, dn_localizer_free
);
handle!(
    /// Good images to model.
    Trainer, dn_trainer, dn_trainer_free
);

impl Extractor {
    /// The built-in backbone.
    pub fn built_in() -> Result<Extractor> {
        unsafe { make(|out, error| sys::dn_extractor_default(null(), out, error)).map(Extractor) }
    }
    pub fn open(path: impl AsRef<Path>) -> Result<Extractor> {
        let path = c_path(path)?;
        unsafe { make(|out, error| sys::dn_extractor_open_path(path.as_ptr(), null(), out, error)).map(Extractor) }
    }
    /// AlexNet with random weights: for tests.  input_size: width and height of a view.
    pub fn random(channels: &[i32; 5], seed: u64, input_size: i32, scales: i32) -> Result<Extractor> {
        let mut options = initialised!(dn_extractor_options, dn_extractor_options_init_size);
        options.input_size = input_size;
        options.scales = scales;
        unsafe {
            make(|out, error| sys::dn_extractor_random(channels.as_ptr(), seed, &options, out, error)).map(Extractor)
        }
    }
}

impl Model {
    pub fn open(path: impl AsRef<Path>) -> Result<Model> {
        let path = c_path(path)?;
        unsafe { make(|out, error| sys::dn_model_open_path(path.as_ptr(), null(), out, error)).map(Model) }
    }
    pub fn from_bytes(bytes: &[u8]) -> Result<Model> {
        unsafe {
            make(|out, error| sys::dn_model_open_memory(bytes.as_ptr().cast(), bytes.len(), null(), out, error)).map(Model)
        }
    }
    /// Writes the model, atomically.  half: weights as float16.
    pub fn save(&self, path: impl AsRef<Path>, half: bool) -> Result<()> {
        let (path, mut error) = (c_path(path)?, sys::dn_error { status: 0, message: [0; 252] });
        let storage = if half { sys::DN_STORAGE_F16 } else { sys::DN_STORAGE_F32 };
        unsafe { check(sys::dn_model_save(self.as_ptr(), path.as_ptr(), storage, &mut error), &error) }
    }
    pub fn to_bytes(&self) -> Result<Vec<u8>> {
        unsafe {
            let blob = make(|out, error| sys::dn_model_save_memory(self.as_ptr(), sys::DN_STORAGE_F32, out, error))?;
            let data = sys::dn_blob_data(blob.as_ptr()).cast::<u8>();
            let bytes = slice::from_raw_parts(data, sys::dn_blob_size(blob.as_ptr())).to_vec();
            sys::dn_blob_free(blob.as_ptr());
            Ok(bytes)
        }
    }
    pub fn info(&self) -> Result<sys::dn_model_info> {
        let mut info = initialised!(dn_model_info, dn_model_info_init_size);
        unsafe { check(sys::dn_model_get_info(self.as_ptr(), &mut info), null())? };
        Ok(info)
    }
}

/// How to score; the fields of `dn_scorer_options`.
#[derive(Clone, Copy)]
pub struct ScorerOptions(sys::dn_scorer_options);

impl Default for ScorerOptions {
    fn default() -> ScorerOptions {
        ScorerOptions(initialised!(dn_scorer_options, dn_scorer_options_init_size))
    }
}

/// Methods that set fields.
macro_rules! setters {
    ($name:ident { $($field:ident: $kind:ty),* $(,)? }) => {
        impl $name {
            $(pub fn $field(mut self, value: $kind) -> $name {
                self.0.$field = value;
                self
            })*
        }
    };
}

setters!(ScorerOptions { views: i32, angles: i32, threads: i32, false_alarm_rate: f64 });

impl Scorer {
    pub fn new(model: &Model, options: ScorerOptions) -> Result<Scorer> {
        unsafe { make(|out, error| sys::dn_scorer_create(model.as_ptr(), &options.0, out, error)).map(Scorer) }
    }
    fn call(&mut self, call: impl FnOnce(*mut sys::dn_scorer, *mut sys::dn_score) -> i32) -> Result<sys::dn_score> {
        let mut score = initialised!(dn_score, dn_score_init_size);
        unsafe { check(call(self.as_ptr(), &mut score), sys::dn_scorer_error(self.as_ptr()))? };
        Ok(score)
    }
    pub fn score(&mut self, image: &Pixels) -> Result<sys::dn_score> {
        self.call(|scorer, score| unsafe { sys::dn_scorer_score(scorer, &image.raw, score) })
    }
    pub fn score_path(&mut self, path: impl AsRef<Path>) -> Result<sys::dn_score> {
        let path = c_path(path)?;
        self.call(|scorer, score| unsafe { sys::dn_scorer_score_path(scorer, path.as_ptr(), score) })
    }
    /// Ends as soon as the verdict is certain.
    pub fn decide(&mut self, image: &Pixels) -> Result<sys::dn_score> {
        self.call(|scorer, score| unsafe { sys::dn_scorer_decide(scorer, &image.raw, score) })
    }
    /// Verdict and map from one pass.  map: (height, width).
    pub fn inspect(&mut self, image: &Pixels, map: &mut [f32]) -> Result<sys::dn_score> {
        if map.len() != image.area() {
            return Err(Error::argument("the map has not the image's size"));
        }
        self.call(|scorer, score| unsafe { sys::dn_scorer_inspect(scorer, &image.raw, map.as_mut_ptr(), score) })
    }
    /// Scores many images, faster than one by one; an image that cannot be scored does not stop the others.
    pub fn score_batch(&mut self, images: &[Pixels]) -> Vec<Result<sys::dn_score>> {
        let raw: Vec<_> = images.iter().map(|image| image.raw).collect();
        let mut scores = vec![initialised!(dn_score, dn_score_init_size); raw.len()];
        let mut errors = vec![sys::dn_error { status: sys::DN_E_STATE, message: [0; 252] }; raw.len()];
        let count = i32::try_from(raw.len()).expect("fewer than 2^31 images");
        unsafe {
            sys::dn_scorer_score_batch(self.as_ptr(), raw.as_ptr(), count, scores.as_mut_ptr(), errors.as_mut_ptr());
            let results = scores.into_iter().zip(&errors);
            results.map(|(score, error)| check(error.status, error).map(|()| score)).collect()
        }
    }
}

impl Localizer {
    pub fn new(model: &Model) -> Result<Localizer> {
        unsafe { make(|out, error| sys::dn_localizer_create(model.as_ptr(), null(), out, error)).map(Localizer) }
    }
    /// map: (height, width); 1 is what good images hardly exceed.
    pub fn map(&mut self, image: &Pixels, map: &mut [f32]) -> Result<()> {
        if map.len() != image.area() {
            return Err(Error::argument("the map has not the image's size"));
        }
        unsafe {
            let status = sys::dn_localizer_map(self.as_ptr(), &image.raw, map.as_mut_ptr());
            check(status, sys::dn_localizer_error(self.as_ptr()))
        }
    }
    /// Boxes of the regions of a map (height, width) >= threshold, strongest first, at most `capacity`.
    pub fn boxes(&mut self, map: &[f32], width: usize, threshold: f32, capacity: usize) -> Result<Vec<sys::dn_box>> {
        let height = if width > 0 { map.len() / width } else { 0 };
        let sizes = (i32::try_from(width), i32::try_from(height), i32::try_from(capacity));
        let (columns, rows, room) = match sizes {
            (Ok(columns), Ok(rows), Ok(room)) if width * height == map.len() => (columns, rows, room),
            _ => return Err(Error::argument("the map has not whole rows of this width")),
        };
        let (mut boxes, mut count) = (Vec::with_capacity(capacity), 0);
        unsafe {
            let status = sys::dn_localizer_boxes(
                self.as_ptr(), map.as_ptr(), columns, rows, threshold, boxes.as_mut_ptr(), room, &mut count,
            );
            check(status, sys::dn_localizer_error(self.as_ptr()))?;
            boxes.set_len(count as usize);
        }
        Ok(boxes)
    }
}

/// How to learn; the fields of `dn_train_options`.
#[derive(Clone, Copy)]
pub struct TrainOptions(sys::dn_train_options);

impl Default for TrainOptions {
    fn default() -> TrainOptions {
        TrainOptions(initialised!(dn_train_options, dn_train_options_init_size))
    }
}

impl TrainOptions {
    /// preset: `sys::DN_PRESET_...`.
    pub fn preset(preset: i32) -> Result<TrainOptions> {
        let mut options = TrainOptions::default();
        unsafe { check(sys::dn_train_options_preset(&mut options.0, preset), null())? };
        Ok(options)
    }
}

setters!(TrainOptions {
    epochs: i32, seed: u64, hidden: i32, blocks: i32, batch_images: i32, bank: i32, learning_rate: f64, holdout: f64,
    views: i32, heatmap_images: i32, threads: i32, flow: i32, positions: i32, position_dims: i32, light: i32,
});

/// What a run of the trainer tells its function, and what came of it.
struct Report<F> {
    function: F,
    panic: Option<Box<dyn Any + Send>>,
}

/// Called by the library: no panic may go through it.
unsafe extern "C" fn report<F: FnMut(&sys::dn_progress) -> bool>(now: *const sys::dn_progress, user: *mut c_void) -> i32 {
    let report = &mut *user.cast::<Report<F>>();
    match catch_unwind(AssertUnwindSafe(|| (report.function)(&*now))) {
        Ok(go_on) => i32::from(!go_on),
        Err(panic) => {
            report.panic = Some(panic);
            1
        }
    }
}

impl Trainer {
    pub fn new(extractor: &Extractor, options: TrainOptions) -> Result<Trainer> {
        unsafe { make(|out, error| sys::dn_trainer_create(extractor.as_ptr(), &options.0, out, error)).map(Trainer) }
    }
    unsafe fn checked(&self, status: i32) -> Result<()> {
        check(status, sys::dn_trainer_error(self.as_ptr()))
    }
    pub fn add_path(&mut self, path: impl AsRef<Path>) -> Result<()> {
        let path = c_path(path)?;
        unsafe { self.checked(sys::dn_trainer_add_path(self.as_ptr(), path.as_ptr())) }
    }
    pub fn add(&mut self, image: &Pixels) -> Result<()> {
        unsafe { self.checked(sys::dn_trainer_add_pixels(self.as_ptr(), &image.raw)) }
    }
    /// progress: returns whether to go on.  After it has said no (`sys::DN_E_CANCELLED`) or panicked, which this passes
    /// on, a further run goes on from there.
    pub fn run<F: FnMut(&sys::dn_progress) -> bool>(&mut self, progress: F) -> Result<Model> {
        let (mut told, mut out) = (Report { function: progress, panic: None }, null_mut());
        unsafe {
            let user = (&mut told as *mut Report<F>).cast();
            let status = sys::dn_trainer_run(self.as_ptr(), Some(report::<F>), user, &mut out);
            let model = NonNull::new(out).map(Model);
            if let Some(panic) = told.panic {
                resume_unwind(panic);
            }
            self.checked(status)?;
            Ok(model.expect("a model"))
        }
    }
}
