// The public header alone, as C++.
#include "differnet.h"

int main()
{
    dn_scorer_options options;

    dn_scorer_options_init(&options);
    return dn_version()[0] == '\0' || options.struct_size != sizeof options;
}
