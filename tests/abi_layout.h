/* The layout of every public struct where long and pointers have 64 bits (LP64).  A released struct only ever grows
 * at its end: change a number here and programs already compiled break. */
#ifndef DN_TESTS_ABI_LAYOUT_H
#define DN_TESTS_ABI_LAYOUT_H

#include <stddef.h>

#include "differnet.h"

#ifdef __LP64__
#define SIZE(type, bytes) _Static_assert(sizeof(type) == (bytes), "size of " #type)
#define AT(type, field, offset) _Static_assert(offsetof(type, field) == (offset), #type "." #field)

/* clang-format off */
SIZE(dn_error, 256);
AT(dn_error, status, 0); AT(dn_error, message, 4);
SIZE(dn_allocator, 24);
AT(dn_allocator, alloc, 0); AT(dn_allocator, free, 8); AT(dn_allocator, user, 16);
SIZE(dn_runner, 16);
AT(dn_runner, run, 0); AT(dn_runner, user, 8);
SIZE(dn_pixels, 32);
AT(dn_pixels, pixels, 0); AT(dn_pixels, width, 8); AT(dn_pixels, height, 12);
AT(dn_pixels, stride, 16); AT(dn_pixels, format, 24); AT(dn_pixels, reserved, 28);
SIZE(dn_image_options, 40);
AT(dn_image_options, struct_size, 0); AT(dn_image_options, reserved, 4); AT(dn_image_options, max_pixels, 8);
AT(dn_image_options, max_bytes, 16); AT(dn_image_options, allocator, 24);
AT(dn_image_options, max_memory, 32);
SIZE(dn_extractor_options, 24);
AT(dn_extractor_options, struct_size, 0); AT(dn_extractor_options, input_size, 4);
AT(dn_extractor_options, scales, 8); AT(dn_extractor_options, input_height, 12); AT(dn_extractor_options, allocator, 16);
SIZE(dn_extractor_info, 136);
AT(dn_extractor_info, struct_size, 0); AT(dn_extractor_info, input_size, 4); AT(dn_extractor_info, scales, 8);
AT(dn_extractor_info, taps, 12); AT(dn_extractor_info, feature_dim, 16); AT(dn_extractor_info, random, 20);
AT(dn_extractor_info, id, 24); AT(dn_extractor_info, layers, 28); AT(dn_extractor_info, parameters, 32);
AT(dn_extractor_info, mean, 40); AT(dn_extractor_info, std, 52); AT(dn_extractor_info, name, 64);
AT(dn_extractor_info, input_height, 128); AT(dn_extractor_info, reserved, 132);
SIZE(dn_maps_info, 56);
AT(dn_maps_info, struct_size, 0); AT(dn_maps_info, rows, 4); AT(dn_maps_info, columns, 8);
AT(dn_maps_info, channels, 12); AT(dn_maps_info, taps, 16); AT(dn_maps_info, reserved, 20);
AT(dn_maps_info, stride_y, 24); AT(dn_maps_info, stride_x, 32); AT(dn_maps_info, offset_y, 40);
AT(dn_maps_info, offset_x, 48);
SIZE(dn_flow_options, 40);
AT(dn_flow_options, struct_size, 0); AT(dn_flow_options, dimension, 4); AT(dn_flow_options, blocks, 8);
AT(dn_flow_options, hidden, 12); AT(dn_flow_options, clamp, 16); AT(dn_flow_options, seed, 24);
AT(dn_flow_options, allocator, 32);
SIZE(dn_model_options, 16);
AT(dn_model_options, struct_size, 0); AT(dn_model_options, verify, 4); AT(dn_model_options, allocator, 8);
SIZE(dn_model_info, 448);
AT(dn_model_info, struct_size, 0); AT(dn_model_info, id, 4); AT(dn_model_info, input_size, 8);
AT(dn_model_info, scales, 12); AT(dn_model_info, feature_dim, 16); AT(dn_model_info, blocks, 20);
AT(dn_model_info, hidden, 24); AT(dn_model_info, views, 28); AT(dn_model_info, angles, 32);
AT(dn_model_info, standardized, 36); AT(dn_model_info, backbone_random, 40); AT(dn_model_info, storage, 44);
AT(dn_model_info, train_images, 48); AT(dn_model_info, holdout_images, 52); AT(dn_model_info, epochs, 56);
AT(dn_model_info, bank, 60); AT(dn_model_info, seed, 64); AT(dn_model_info, clamp, 72);
AT(dn_model_info, final_loss, 80); AT(dn_model_info, heatmap_scale, 88); AT(dn_model_info, parameters, 96);
AT(dn_model_info, backbone, 104); AT(dn_model_info, library, 168); AT(dn_model_info, preset, 184);
AT(dn_model_info, positions_scale, 200); AT(dn_model_info, flow, 208); AT(dn_model_info, positions, 212);
AT(dn_model_info, map_rows, 216); AT(dn_model_info, map_columns, 220); AT(dn_model_info, map_channels, 224);
AT(dn_model_info, position_dims, 228); AT(dn_model_info, seen_images, 232); AT(dn_model_info, copies, 236);
AT(dn_model_info, seen_low, 240); AT(dn_model_info, seen_high, 312);
AT(dn_model_info, calibration, 384); AT(dn_model_info, folds, 388);
AT(dn_model_info, tile_columns, 392); AT(dn_model_info, tile_rows, 396); AT(dn_model_info, fit, 400);
AT(dn_model_info, input_height, 404);
AT(dn_model_info, range_low, 408); AT(dn_model_info, range_high, 412);
AT(dn_model_info, mask_share, 416); AT(dn_model_info, detail_weight, 424);
AT(dn_model_info, detail_rows, 432); AT(dn_model_info, detail_columns, 436);
AT(dn_model_info, flow_weight, 440);
SIZE(dn_scorer_options, 64);
AT(dn_scorer_options, struct_size, 0); AT(dn_scorer_options, views, 4); AT(dn_scorer_options, angles, 8);
AT(dn_scorer_options, threads, 12); AT(dn_scorer_options, false_alarm_rate, 16); AT(dn_scorer_options, allocator, 24);
AT(dn_scorer_options, runner, 32); AT(dn_scorer_options, max_pixels, 40); AT(dn_scorer_options, max_bytes, 48);
AT(dn_scorer_options, max_memory, 56);
SIZE(dn_score, 96);
AT(dn_score, struct_size, 0); AT(dn_score, anomalous, 4); AT(dn_score, score, 8); AT(dn_score, log_likelihood, 16);
AT(dn_score, p_value, 24); AT(dn_score, threshold, 32); AT(dn_score, false_alarm_rate, 40); AT(dn_score, views, 48);
AT(dn_score, lower_bound, 52); AT(dn_score, flow_score, 56); AT(dn_score, local_score, 64);
AT(dn_score, whole_score, 72); AT(dn_score, index, 80);
AT(dn_score, warnings, 88); AT(dn_score, reserved, 92);
SIZE(dn_monitor_options, 32);
AT(dn_monitor_options, struct_size, 0); AT(dn_monitor_options, good_scores, 4);
AT(dn_monitor_options, images_between_alarms, 8); AT(dn_monitor_options, window, 16);
AT(dn_monitor_options, reserved, 20); AT(dn_monitor_options, allocator, 24);
SIZE(dn_monitor_state, 48);
AT(dn_monitor_state, struct_size, 0); AT(dn_monitor_state, moved, 4); AT(dn_monitor_state, images, 8);
AT(dn_monitor_state, moved_at, 16); AT(dn_monitor_state, evidence, 24); AT(dn_monitor_state, recent_mean, 32);
AT(dn_monitor_state, recent_images, 40); AT(dn_monitor_state, reserved, 44);
SIZE(dn_calibrator_options, 56);
AT(dn_calibrator_options, struct_size, 0); AT(dn_calibrator_options, keep, 4);
AT(dn_calibrator_options, accept_suspects, 8); AT(dn_calibrator_options, threads, 12);
AT(dn_calibrator_options, allocator, 16); AT(dn_calibrator_options, runner, 24);
AT(dn_calibrator_options, max_pixels, 32); AT(dn_calibrator_options, max_bytes, 40);
AT(dn_calibrator_options, max_memory, 48);
SIZE(dn_calibrator_info, 32);
AT(dn_calibrator_info, struct_size, 0); AT(dn_calibrator_info, added, 4); AT(dn_calibrator_info, counted, 8);
AT(dn_calibrator_info, good_scores, 12); AT(dn_calibrator_info, suspects, 16); AT(dn_calibrator_info, moved, 20);
AT(dn_calibrator_info, limit, 24);
SIZE(dn_localizer_options, 48);
AT(dn_localizer_options, struct_size, 0); AT(dn_localizer_options, views, 4); AT(dn_localizer_options, angles, 8);
AT(dn_localizer_options, threads, 12); AT(dn_localizer_options, sigma, 16); AT(dn_localizer_options, allocator, 24);
AT(dn_localizer_options, runner, 32); AT(dn_localizer_options, method, 40); AT(dn_localizer_options, reserved, 44);
SIZE(dn_box, 40);
AT(dn_box, x, 0); AT(dn_box, y, 4); AT(dn_box, width, 8); AT(dn_box, height, 12); AT(dn_box, peak, 16);
AT(dn_box, area, 20); AT(dn_box, mean, 24); AT(dn_box, centroid_x, 28); AT(dn_box, centroid_y, 32);
AT(dn_box, reserved, 36);
SIZE(dn_box_options, 16);
AT(dn_box_options, struct_size, 0); AT(dn_box_options, threshold, 4); AT(dn_box_options, min_area, 8);
AT(dn_box_options, gap, 12);
SIZE(dn_train_options, 272);
AT(dn_train_options, struct_size, 0); AT(dn_train_options, epochs, 4); AT(dn_train_options, seed, 8);
AT(dn_train_options, hidden, 16); AT(dn_train_options, blocks, 20); AT(dn_train_options, clamp, 24);
AT(dn_train_options, batch_images, 32); AT(dn_train_options, batch_views, 36); AT(dn_train_options, epoch_steps, 40);
AT(dn_train_options, bank, 44); AT(dn_train_options, standardize, 48); AT(dn_train_options, schedule, 52);
AT(dn_train_options, learning_rate, 56); AT(dn_train_options, beta1, 64); AT(dn_train_options, beta2, 72);
AT(dn_train_options, epsilon, 80); AT(dn_train_options, weight_decay, 88); AT(dn_train_options, feature_noise, 96);
AT(dn_train_options, brightness, 104); AT(dn_train_options, contrast, 112); AT(dn_train_options, saturation, 120);
AT(dn_train_options, holdout, 128); AT(dn_train_options, views, 136); AT(dn_train_options, angles, 140);
AT(dn_train_options, heatmap_images, 144); AT(dn_train_options, threads, 148); AT(dn_train_options, checkpoint, 152);
AT(dn_train_options, checkpoint_epochs, 160); AT(dn_train_options, resume, 164); AT(dn_train_options, allocator, 168);
AT(dn_train_options, runner, 176); AT(dn_train_options, preset, 184); AT(dn_train_options, flow, 188);
AT(dn_train_options, positions, 192); AT(dn_train_options, position_dims, 196);
AT(dn_train_options, light, 200); AT(dn_train_options, copies, 204);
AT(dn_train_options, max_pixels, 208); AT(dn_train_options, max_bytes, 216); AT(dn_train_options, max_memory, 224);
AT(dn_train_options, calibration, 232); AT(dn_train_options, folds, 236);
AT(dn_train_options, tile_columns, 240); AT(dn_train_options, tile_rows, 244); AT(dn_train_options, fit, 248);
AT(dn_train_options, duplicates, 252);
AT(dn_train_options, range_low, 256); AT(dn_train_options, range_high, 260);
AT(dn_train_options, details, 264); AT(dn_train_options, reserved, 268);
SIZE(dn_trainer_info, 24);
AT(dn_trainer_info, struct_size, 0); AT(dn_trainer_info, images, 4); AT(dn_trainer_info, parts, 8);
AT(dn_trainer_info, duplicates, 12); AT(dn_trainer_info, adjacent, 16); AT(dn_trainer_info, reserved, 20);
SIZE(dn_progress, 32);
AT(dn_progress, struct_size, 0); AT(dn_progress, phase, 4); AT(dn_progress, done, 8); AT(dn_progress, total, 16);
AT(dn_progress, loss, 24);

#undef SIZE
#undef AT
/* clang-format on */
#endif

/* The numbers of the constants, likewise. */
_Static_assert(DN_OK == 0 && DN_E_ARGUMENT == -1 && DN_E_MEMORY == -2 && DN_E_IO == -3 && DN_E_FORMAT == -4 &&
                   DN_E_KIND == -5 && DN_E_VERSION == -6 && DN_E_LIMIT == -7 && DN_E_UNSUPPORTED == -8 &&
                   DN_E_NUMERIC == -9 && DN_E_CANCELLED == -10 && DN_E_STATE == -11 && DN_E_THREAD == -12,
               "statuses");
_Static_assert(DN_GRAY8 == 1 && DN_GRAY16 == 2 && DN_RGB8 == 3 && DN_BGR8 == 4 && DN_RGBA8 == 5 && DN_BGRA8 == 6,
               "pixel formats");
_Static_assert(DN_VERIFY_HEADER == 0 && DN_VERIFY_FULL == 1, "verification");
_Static_assert(DN_STORAGE_F32 == 0 && DN_STORAGE_F16 == 1, "storage");
_Static_assert(DN_ANGLES_STRATIFIED == 0 && DN_ANGLES_GRID == 1, "angles");
_Static_assert(DN_PRESET_COMPACT == 0 && DN_PRESET_PAPER == 1 && DN_PRESET_FAST == 2, "presets");
_Static_assert(DN_SCHEDULE_CONSTANT == 0 && DN_SCHEDULE_COSINE == 1, "schedules");
_Static_assert(DN_PHASE_FEATURES == 1 && DN_PHASE_TRAIN == 2 && DN_PHASE_HOLDOUT == 3 && DN_PHASE_HEATMAP == 4 &&
                   DN_PHASE_MAPS == 5 && DN_PHASE_POSITIONS == 6 && DN_PHASE_FOLDS == 7,
               "phases");
_Static_assert(DN_TRAIT_COLOUR == 0 && DN_TRAIT_BRIGHTNESS == 1 && DN_TRAIT_CONTRAST == 2 && DN_TRAIT_SHARPNESS == 3 &&
                   DN_TRAIT_DARKEST == 4 && DN_TRAIT_BRIGHTEST == 5 && DN_TRAIT_SIZE == 6 && DN_TRAIT_SHAPE == 7 &&
                   DN_TRAIT_BITS == 8 && DN_TRAITS == 9,
               "traits");
_Static_assert(DN_WARN_GRAY == 1 && DN_WARN_COLOUR == 2 && DN_WARN_8_BIT == 4 && DN_WARN_16_BIT == 8 &&
                   DN_WARN_DARK == 16 && DN_WARN_BRIGHT == 32 && DN_WARN_FLAT == 64 && DN_WARN_CONTRAST == 128 &&
                   DN_WARN_BLURRED == 256 && DN_WARN_SHARP == 512 && DN_WARN_SMALL == 1024 && DN_WARN_LARGE == 2048 &&
                   DN_WARN_NARROW == 4096 && DN_WARN_WIDE == 8192,
               "warnings");
_Static_assert(DN_DUPLICATE_EQUAL == 1 && DN_DUPLICATE_NEAR == 2, "duplicates");
_Static_assert(DN_CALIBRATION_AUTO == 0 && DN_CALIBRATION_SPLIT == 1 && DN_CALIBRATION_CROSS == 2, "calibrations");
_Static_assert(DN_MASK_INCLUDE == 0 && DN_MASK_IGNORE == 1, "masks");
_Static_assert(DN_FIT_STRETCH == 0 && DN_FIT_LETTERBOX == 1, "fits");
_Static_assert(DN_MAP_DEFAULT == 0 && DN_MAP_POSITIONS == 1 && DN_MAP_GRADIENT == 2, "maps");

#endif
