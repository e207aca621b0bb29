/* In place of embedded.S where the build leaves the backbone out (-Dembed_backbone=false). */
#include "backbone/embedded.h"

const uint8_t embedded_backbone[1] = {0};
const uint64_t embedded_backbone_size = 0;
