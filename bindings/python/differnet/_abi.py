"""What differnet.h declares: structs field by field, and functions, for ctypes."""
from __future__ import annotations

import ctypes
from typing import Any, Tuple, Type

_i32, _u32, _i64, _u64 = ctypes.c_int32, ctypes.c_uint32, ctypes.c_int64, ctypes.c_uint64
_size, _float, _double, _pointer, _text = (ctypes.c_size_t, ctypes.c_float, ctypes.c_double, ctypes.c_void_p,
                                           ctypes.c_char_p)


def _struct(name: str, *fields: Tuple[Any, str]) -> Type[ctypes.Structure]:
    """A ctypes structure; fields: (type, "names of fields of that type")."""
    listed = [(field, kind) for kind, names in fields for field in names.split()]
    return type(name, (ctypes.Structure,), {"_fields_": listed})


dn_error = _struct("dn_error", (_i32, "status"), (ctypes.c_char * 252, "message"))
dn_pixels = _struct("dn_pixels", (_pointer, "pixels"), (_i32, "width height"), (_i64, "stride"),
    (_i32, "format reserved"))
dn_image_options = _struct("dn_image_options", (_u32, "struct_size reserved"), (_i64, "max_pixels max_bytes"),
    (_pointer, "allocator"), (_i64, "max_memory"))
dn_extractor_options = _struct("dn_extractor_options", (_u32, "struct_size"), (_i32, "input_size scales input_height"),
    (_pointer, "allocator"))
dn_extractor_info = _struct("dn_extractor_info", (_u32, "struct_size"),
    (_i32, "input_size scales taps feature_dim random"), (_u32, "id"), (_i32, "layers"), (_i64, "parameters"),
    (_float * 3, "mean std"), (ctypes.c_char * 64, "name"), (_i32, "input_height reserved"))
dn_maps_info = _struct("dn_maps_info", (_u32, "struct_size"), (_i32, "rows columns channels taps reserved"),
    (_double, "stride_y stride_x offset_y offset_x"))
dn_flow_options = _struct("dn_flow_options", (_u32, "struct_size"), (_i32, "dimension blocks hidden"),
    (_double, "clamp"), (_u64, "seed"), (_pointer, "allocator"))
dn_model_options = _struct("dn_model_options", (_u32, "struct_size"), (_i32, "verify"), (_pointer, "allocator"))
dn_model_info = _struct("dn_model_info", (_u32, "struct_size id"),
    (_i32, "input_size scales feature_dim blocks hidden views angles standardized backbone_random storage "
           "train_images holdout_images epochs bank"),
    (_u64, "seed"), (_double, "clamp final_loss heatmap_scale"), (_i64, "parameters"),
    (ctypes.c_char * 64, "backbone"), (ctypes.c_char * 16, "library preset"), (_double, "positions_scale"),
    (_i32, "flow positions map_rows map_columns map_channels position_dims seen_images copies"),
    (_double * 9, "seen_low seen_high"),
    (_i32, "calibration folds tile_columns tile_rows fit input_height range_low range_high"),
    (_double, "mask_share detail_weight"), (_i32, "detail_rows detail_columns"), (_double, "flow_weight"))
dn_scorer_options = _struct("dn_scorer_options", (_u32, "struct_size"), (_i32, "views angles threads"),
    (_double, "false_alarm_rate"), (_pointer, "allocator runner"), (_i64, "max_pixels max_bytes max_memory"))
dn_score = _struct("dn_score", (_u32, "struct_size"), (_i32, "anomalous"),
    (_double, "score log_likelihood p_value threshold false_alarm_rate"), (_i32, "views lower_bound"),
    (_double, "flow_score local_score whole_score index"), (_u32, "warnings reserved"))
dn_monitor_options = _struct("dn_monitor_options", (_u32, "struct_size"), (_i32, "good_scores"),
    (_double, "images_between_alarms"), (_i32, "window reserved"), (_pointer, "allocator"))
dn_monitor_state = _struct("dn_monitor_state", (_u32, "struct_size"), (_i32, "moved"), (_i64, "images moved_at"),
    (_double, "evidence recent_mean"), (_i32, "recent_images reserved"))
dn_calibrator_options = _struct("dn_calibrator_options", (_u32, "struct_size"),
    (_i32, "keep accept_suspects threads"), (_pointer, "allocator runner"), (_i64, "max_pixels max_bytes max_memory"))
dn_calibrator_info = _struct("dn_calibrator_info", (_u32, "struct_size"),
    (_i32, "added counted good_scores suspects moved"), (_double, "limit"))
dn_localizer_options = _struct("dn_localizer_options", (_u32, "struct_size"), (_i32, "views angles threads"),
    (_double, "sigma"), (_pointer, "allocator runner"), (_i32, "method reserved"))
dn_box = _struct("dn_box", (_i32, "x y width height"), (_float, "peak"), (_i32, "area"),
    (_float, "mean centroid_x centroid_y"), (_i32, "reserved"))
dn_box_options = _struct("dn_box_options", (_u32, "struct_size"), (_float, "threshold"), (_i32, "min_area gap"))
dn_train_options = _struct("dn_train_options", (_u32, "struct_size"), (_i32, "epochs"), (_u64, "seed"),
    (_i32, "hidden blocks"), (_double, "clamp"),
    (_i32, "batch_images batch_views epoch_steps bank standardize schedule"),
    (_double, "learning_rate beta1 beta2 epsilon weight_decay feature_noise brightness contrast saturation holdout"),
    (_i32, "views angles heatmap_images threads"), (_text, "checkpoint"), (_i32, "checkpoint_epochs resume"),
    (_pointer, "allocator runner"), (_i32, "preset flow positions position_dims light copies"),
    (_i64, "max_pixels max_bytes max_memory"),
    (_i32, "calibration folds tile_columns tile_rows fit duplicates range_low range_high details reserved"))
dn_trainer_info = _struct("dn_trainer_info", (_u32, "struct_size"),
    (_i32, "images parts duplicates adjacent reserved"))
dn_progress = _struct("dn_progress", (_u32, "struct_size"), (_i32, "phase"), (_i64, "done total"), (_double, "loss"))
dn_progress_fn = ctypes.CFUNCTYPE(_i32, ctypes.POINTER(dn_progress), _pointer)


# ---- the library's functions: result, then arguments ----
# p: a pointer, s: a byte string, i: int32, I: int64, u: uint64, z: size_t, w: uint32, f: float, d: double, n: nothing
# (result only)

_LETTERS = {"p": _pointer, "s": _text, "i": _i32, "I": _i64, "u": _u64, "z": _size, "w": _u32, "f": _float,
            "d": _double, "n": None}

_FUNCTIONS = {
    "dn_version": "s", "dn_status_string": "si",
    "dn_blob_data": "pp", "dn_blob_size": "zp", "dn_blob_free": "np",
    "dn_blas_set_threads": "ii", "dn_blas_threads": "i", "dn_blas_corename": "s",
    "dn_image_options_init_size": "npz", "dn_image_open_path": "isppp", "dn_image_open_memory": "ipzppp",
    "dn_image_pixels": "npp", "dn_image_free": "np", "dn_image_ending": "si",
    "dn_image_write_png": "ipsp", "dn_image_encode_png": "ippp", "dn_image_overlay": "ippfpp",
    "dn_extractor_options_init_size": "npz", "dn_extractor_open_path": "isppp",
    "dn_extractor_open_memory": "ipzppp", "dn_extractor_default": "ippp", "dn_extractor_random": "ipuppp",
    "dn_extractor_save": "ipsip", "dn_extractor_save_memory": "ipipp",
    "dn_extractor_ref": "pp", "dn_extractor_unref": "np", "dn_extractor_info_init_size": "npz",
    "dn_extractor_get_info": "ipp", "dn_extractor_tap_name": "spi", "dn_extractor_metadata": "spip",
    "dn_extractor_views": "ipppipp",
    "dn_extractor_features": "ippipp", "dn_extractor_features_image": "ipppipp",
    "dn_extractor_gradient": "ippippp",
    "dn_maps_info_init_size": "npz", "dn_extractor_get_maps_info": "ipp", "dn_extractor_map_name": "spi",
    "dn_extractor_maps": "ippipp",
    "dn_flow_options_init_size": "npz", "dn_flow_create": "ippp", "dn_flow_open_path": "isppp",
    "dn_flow_open_memory": "ipzppp", "dn_flow_save": "ipsp", "dn_flow_save_memory": "ippp",
    "dn_flow_ref": "pp",
    "dn_flow_unref": "np", "dn_flow_get_info": "ipp", "dn_flow_forward": "ippippp",
    "dn_flow_inverse": "ippipp",
    "dn_flow_sample": "ipuipp", "dn_flow_log_likelihood": "ippipp", "dn_flow_gradient": "ippipppp",
    "dn_model_options_init_size": "npz", "dn_model_open_path": "isppp", "dn_model_open_memory": "ipzppp",
    "dn_model_save": "ipsip", "dn_model_save_memory": "ipipp", "dn_model_overlay": "ipppfpp",
    "dn_model_ref": "pp", "dn_model_unref": "np",
    "dn_model_info_init_size": "npz", "dn_model_get_info": "ipp", "dn_model_holdout_scores": "ppp",
    "dn_model_note": "spip", "dn_model_operating_point": "spip", "dn_model_extractor": "pp",
    "dn_model_flow": "pp", "dn_model_feature_mean": "pp",
    "dn_model_feature_deviation": "pp",
    "dn_scorer_options_init_size": "npz", "dn_score_init_size": "npz", "dn_scorer_create": "ipppp",
    "dn_scorer_set_false_alarm_rate": "ipd", "dn_scorer_set_threshold": "ipd",
    "dn_scorer_set_operating_point": "ips",
    "dn_scorer_set_mask": "ippi", "dn_localizer_set_mask": "ippi",
    "dn_scorer_score": "ippp", "dn_scorer_score_path": "ipsp", "dn_scorer_decide": "ippp",
    "dn_scorer_decide_path": "ipsp", "dn_scorer_score_batch": "ippipp",
    "dn_scorer_score_batch_paths": "ippipp",
    "dn_scorer_inspect": "ipppp", "dn_scorer_batch_images": "ip", "dn_scorer_view_scores": "ppp",
    "dn_scorer_error": "pp", "dn_scorer_free": "np", "dn_warning_text": "sw",
    "dn_monitor_options_init_size": "npz", "dn_monitor_state_init_size": "npz", "dn_monitor_create": "ippp",
    "dn_monitor_add": "ipd", "dn_monitor_get_state": "ipp", "dn_monitor_reset": "ip",
    "dn_monitor_error": "pp",
    "dn_monitor_free": "np",
    "dn_calibrator_options_init_size": "npz", "dn_calibrator_info_init_size": "npz",
    "dn_calibrator_create": "ipppp",
    "dn_calibrator_add_path": "ipsp", "dn_calibrator_add_pixels": "ippp", "dn_calibrator_set_point": "ipsd",
    "dn_calibrator_note": "ipss", "dn_calibrator_get_info": "ipppi", "dn_calibrator_model": "ipp",
    "dn_calibrator_error": "pp", "dn_calibrator_free": "np",
    "dn_localizer_options_init_size": "npz", "dn_localizer_create": "ipppp", "dn_localizer_map": "ippp",
    "dn_localizer_boxes": "ippiifpip", "dn_box_options_init_size": "npz",
    "dn_localizer_find_boxes": "ippiippip",
    "dn_localizer_threshold": "ipdpp", "dn_localizer_error": "pp", "dn_localizer_free": "np",
    "dn_train_options_init_size": "npz", "dn_train_options_preset": "ipi",
    "dn_train_options_of_model": "ipp", "dn_trainer_create": "ipppp", "dn_trainer_create_like": "ipppp",
    "dn_trainer_add_path": "ips", "dn_trainer_add_pixels": "ipp", "dn_trainer_note": "ipss",
    "dn_trainer_set_group": "ips", "dn_trainer_set_mask": "ippi",
    "dn_trainer_duplicate_of": "ipip", "dn_trainer_info_init_size": "npz", "dn_trainer_get_info": "ipp",
    "dn_trainer_run": "ipppp", "dn_trainer_model": "ipp",
    "dn_trainer_advice": "spi", "dn_trainer_error": "pp", "dn_trainer_free": "np",
}
