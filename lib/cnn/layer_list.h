/* Layer lists: JSON under "differnet.layers" <-> cnn_layer (docs/format.md). */
#ifndef DN_CNN_LAYER_LIST_H
#define DN_CNN_LAYER_LIST_H

#include "cnn/extractor.h"

/* torchvision's AlexNet `features` as a layer list; its channel counts come from the tensors. */
extern const char layer_list_alexnet[];
#define LAYER_LIST_ALEXNET_CONVS 5
/* Kernel side of its convolutions. */
extern const int32_t layer_list_alexnet_kernels[LAYER_LIST_ALEXNET_CONVS];

/* Reads a layer list into extractor->layers (allocated), layer_count and taps.  What only the tensors tell (channels,
 * convolution kernels) stays 0.  Layers after the last tap are dropped: they do nothing.  label: file name. */
dn_status layer_list_parse(dn_extractor *extractor, const char *text, const char *label, dn_error *error);
/* The canonical text of the layers: every key, in one order, without spaces. */
dn_status layer_list_print(const dn_extractor *extractor, char **out, dn_error *error);
/* Whether the smallest scale of the input size gets through all layers, and the largest needs no absurd memory. */
dn_status layer_list_check_size(const dn_extractor *extractor, const char *label, dn_error *error);

/* mean and std: a JSON array of three numbers.  key: for messages. */
#define LAYER_LIST_TRIPLE 128 /* bytes of its text */
dn_status layer_list_parse_triple(const char *text, const char *key, const char *label, float triple[3],
                                  dn_error *error);
void layer_list_print_triple(const float triple[3], char text[LAYER_LIST_TRIPLE]);

#endif
