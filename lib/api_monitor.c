/* dn_monitor_*: arguments checked, then lib/differnet/monitor.c. */
#include "api.h"

#include "differnet/monitor.h"

void dn_monitor_options_init_size(dn_monitor_options *options, size_t size)
{
    dn_monitor_options defaults = monitor_default_options();

    options_init(options, size, &defaults, sizeof defaults);
}

void dn_monitor_state_init_size(dn_monitor_state *state, size_t size)
{
    static const dn_monitor_state empty = {.struct_size = sizeof empty};

    options_init(state, size, &empty, sizeof empty);
}

dn_status dn_monitor_create(const dn_monitor_options *options, dn_monitor **out, dn_error *error)
{
    dn_monitor_options own = monitor_default_options();

    REQUIRE(out, error);
    *out = NULL;
    TRY(options_read(&own, sizeof own, options, "dn_monitor_options", error));
    TRY(monitor_options_check(&own, error));
    TRY(allocator_check(own.allocator, "dn_monitor_options", error));
    return monitor_create(&own, out, error);
}

dn_status dn_monitor_add(dn_monitor *monitor, double p_value)
{
    REQUIRE(monitor, NULL);
    BEGIN_CALL(monitor_in_use(monitor), monitor_error(monitor));
    return monitor_add(monitor, p_value, error);
}

dn_status dn_monitor_get_state(dn_monitor *monitor, dn_monitor_state *state)
{
    REQUIRE(monitor, NULL);
    BEGIN_CALL(monitor_in_use(monitor), monitor_error(monitor));
    REQUIRE(state, error);
    dn_monitor_state own = monitor_state(monitor);
    return output_write(state, &own, sizeof own, "dn_monitor_state", error);
}

dn_status dn_monitor_reset(dn_monitor *monitor)
{
    REQUIRE(monitor, NULL);
    BEGIN_CALL(monitor_in_use(monitor), monitor_error(monitor));
    monitor_reset(monitor);
    return error->status;
}

const dn_error *dn_monitor_error(const dn_monitor *monitor)
{
    dn_monitor *own = (dn_monitor *)(uintptr_t)monitor;

    return own ? call_error(monitor_in_use(own), monitor_error(own)) : NULL;
}

void dn_monitor_free(dn_monitor *monitor)
{
    monitor_free(monitor);
}
