/* The public header alone, as strict C99. */
#include "differnet.h"

int main(void)
{
    dn_scorer_options options;

    dn_scorer_options_init(&options);
    return dn_version()[0] == '\0' || options.struct_size != sizeof options;
}
