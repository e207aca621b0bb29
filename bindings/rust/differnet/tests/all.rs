//! The safe crate, from training to boxes.
use differnet::{overlay, sys, write_png, Error, Extractor, Format, Localizer, Model, Pixels, Scorer, ScorerOptions};
use differnet::{TrainOptions, Trainer};
use std::panic::{catch_unwind, AssertUnwindSafe};

const SIDE: usize = 64;

/// A bright square on a noisy ground; with a dark spot, if it is defective.
fn draw(seed: u32, defective: bool) -> Vec<u8> {
    let mut state = seed.wrapping_mul(7919) + 17;
    (0..SIDE * SIDE)
        .map(|i| {
            let (x, y) = (i % SIDE, i / SIDE);
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            let inside = (16..48).contains(&x) && (16..48).contains(&y);
            let spot = defective && (24..34).contains(&x) && (24..34).contains(&y);
            (if spot { 5 } else if inside { 150 } else { 60 }) + (state >> 24) as u8 % 8
        })
        .collect()
}

fn view(gray: &[u8]) -> Pixels<'_> {
    Pixels::new(gray, SIDE, SIDE, 0, Format::Gray8).unwrap()
}

fn status<T>(result: Result<T, Error>) -> i32 {
    result.err().expect("an error").status
}

fn trained() -> Model {
    let network = Extractor::random(&[4, 8, 8, 8, 8], 1, SIDE as i32, 1).unwrap();
    let options = TrainOptions::preset(sys::DN_PRESET_FAST).unwrap().position_dims(8).threads(1);
    let mut trainer = Trainer::new(&network.clone(), options).unwrap();
    drop(network);
    assert_eq!(status(trainer.run(|_| true)), sys::DN_E_STATE);
    for i in 0..12 {
        trainer.add(&view(&draw(i, false))).unwrap();
    }
    assert_eq!(status(trainer.run(|_| false)), sys::DN_E_CANCELLED);
    let panic = catch_unwind(AssertUnwindSafe(|| trainer.run(|_| panic!("the window was closed"))));
    assert_eq!(panic.err().unwrap().downcast_ref::<&str>(), Some(&"the window was closed"));
    let mut told = 0;
    let model = trainer.run(|_| { told += 1; true }).unwrap();
    assert!(told > 0);
    model
}

#[test]
fn everything() {
    assert!(!differnet::version().is_empty());
    let model = trained();
    let (good, bad) = (draw(100, false), draw(101, true));
    let mut scorer = Scorer::new(&model, ScorerOptions::default().false_alarm_rate(0.1).threads(1)).unwrap();
    let (score, other) = (scorer.score(&view(&good)).unwrap(), scorer.score(&view(&bad)).unwrap());
    assert!(other.score > score.score);
    assert_eq!(scorer.decide(&view(&bad)).unwrap().anomalous, other.anomalous);
    let mut map = vec![0.0; SIDE * SIDE];
    assert_eq!(scorer.inspect(&view(&bad), &mut map).unwrap().score, other.score);
    assert_eq!(status(scorer.inspect(&view(&bad), &mut map[1..])), sys::DN_E_ARGUMENT);
    let tiny = Pixels::new(&good, 2, 2, 0, Format::Gray8).unwrap();
    let batch = scorer.score_batch(&[view(&good), tiny, view(&bad)]);
    assert_eq!(batch[0].as_ref().unwrap().score, score.score);
    assert!(batch[1].is_err() && batch[2].as_ref().unwrap().score == other.score);
    let absent = scorer.score_path("/absent.png").err().unwrap();
    assert!(absent.status == sys::DN_E_IO && absent.to_string().contains("absent.png"));

    let mut localizer = Localizer::new(&model).unwrap();
    let mut again = vec![0.0; SIDE * SIDE];
    localizer.map(&view(&bad), &mut again).unwrap();
    assert_eq!(map, again);
    let boxes = localizer.boxes(&map, SIDE, 1e-6, 2).unwrap();
    assert!(!boxes.is_empty() && boxes.len() <= 2);
    assert_eq!(status(localizer.boxes(&map[1..], SIDE, 1.0, 2)), sys::DN_E_ARGUMENT);

    let folder = std::env::temp_dir().join(format!("differnet-rust-{}", std::process::id()));
    std::fs::create_dir(&folder).unwrap();
    let rgb = overlay(&view(&bad), &map).unwrap();
    write_png(&Pixels::new(&rgb, SIDE, SIDE, 0, Format::Rgb8).unwrap(), folder.join("map.png")).unwrap();
    write_png(&view(&bad), folder.join("bad.png")).unwrap();
    assert_eq!(scorer.score_path(folder.join("bad.png")).unwrap().score, other.score);
    model.save(folder.join("part.dnm"), false).unwrap();
    let id = model.info().unwrap().id;
    assert_eq!(Model::open(folder.join("part.dnm")).unwrap().info().unwrap().id, id);
    assert_eq!(Model::from_bytes(&model.to_bytes().unwrap()).unwrap().info().unwrap().id, id);
    std::fs::remove_dir_all(&folder).unwrap();

    // Shared by threads; the model's last owner may be any of them.
    let threads: Vec<_> = (0..2)
        .map(|_| {
            let (model, good) = (model.clone(), good.clone());
            std::thread::spawn(move || {
                Scorer::new(&model, ScorerOptions::default()).unwrap().score(&view(&good)).unwrap().score
            })
        })
        .collect();
    drop(model);
    for thread in threads {
        assert_eq!(thread.join().unwrap(), score.score);
    }
}

#[test]
fn pixels_must_be_there() {
    assert!(Pixels::new(&[0; 16], 4, 4, 0, Format::Gray8).is_ok());
    assert!(Pixels::new(&[0; 15], 4, 4, 0, Format::Gray8).is_err());
    assert!(Pixels::new(&[0; 16], 4, 4, 3, Format::Gray8).is_err());
    assert!(Pixels::new(&[0; 14], 4, 2, 10, Format::Gray8).is_ok());
    assert!(Pixels::new(&[0; 16], usize::MAX, 4, 0, Format::Rgb8).is_err());
    assert!(Pixels::new(&[0; 16], 4, 0, 0, Format::Gray8).is_err());
}
