/* SPDX-License-Identifier: Apache-2.0
 *
 * nib devices. In: a list of devices, or nothing. Out: what computes here, and what the cpu can do at most, measured.
 */
#include "cli.h"
#include "cli_json.h"
#include "cli_steps.h"
#include <stdio.h>

#define MOST 144 /* nine entries of sixteen */

static const cli_option devices_options[] = {
    {"device", 0, CLI_TEXT, CLI_AT(m.options.device), "D", "cpu, or plug-ins in front of it: NAME|PATH.so[:ARGUMENT],cpu (doc/devices.md)", 0, 0, NULL},
    {"json", 0, CLI_FLAG, CLI_AT(json), NULL, "one JSON object instead of lines", 1, 0, NULL},
    {0},
};

static void print_json(const nib_device_info *devices, size_t n, const nib_machine *machine) {
    printf("{\"devices\": [");
    for (size_t i = 0; i < n; i++) {
        printf("%s{\"name\": ", i ? ",\n " : "");
        cli_json_string(devices[i].name);
        printf(", \"kind\": ");
        cli_json_string(devices[i].kind);
        printf(", \"entry\": %d", devices[i].entry);
        if (devices[i].host) {
            printf(", \"instructions\": \"%s\", \"machine\": ", nib_cpu_name());
            cli_machine_json(machine);
        } else {
            printf(", \"row_bucket\": %lld, \"group_tokens\": %lld", (long long)devices[i].row_bucket, (long long)devices[i].group_tokens);
        }
        printf("}");
    }
    puts("]}");
}

static void print_plugin(const nib_device_info *d) {
    printf("%-11s plug-in, entry %d of the list; rows in multiples of %lld", d->name, d->entry + 1, (long long)d->row_bucket);
    if (d->group_tokens) printf(", groups of %lld tokens", (long long)d->group_tokens);
    printf("\n");
}

static int run_devices(cli_args *a) {
    static nib_device_info devices[MOST];
    size_t n;
    nib_error error;
    nib_machine machine;
    int code;
    nib_runtime *runtime = cli_runtime(&a->m, &code);
    if (code) return code;
    if (nib_devices_get(runtime, a->m.options.device, devices, sizeof *devices, MOST, &n, &error) != NIB_OK) return cli_fail(&error);
    if (nib_machine_measure(runtime, &machine, sizeof machine, &error) != NIB_OK) return cli_fail(&error);
    if (a->json) {
        print_json(devices, n, &machine);
        return 0;
    }
    for (size_t i = 0; i < n; i++)
        if (!devices[i].host) print_plugin(&devices[i]);
    printf("cpu         %s, %d thread%s, %.1f MB of cache before memory\n", nib_cpu_name(), machine.threads,
           machine.threads == 1 ? "" : "s", 1e-6 * (double)machine.cache_size);
    cli_machine_print(&machine);
    return 0;
}

static const cli_option *const options[] = {devices_options, cli_thread_option, cli_common_options, NULL};

const cli_verb cli_devices = {
    .name = "devices",
    .line = "what computes here, and what it can do at most",
    .usage = "[options]",
    .about = "Prints the CPU with the instructions that nib uses on it, its threads and last cache, and what was "
             "measured of it in\n"
             "a moment: operations a second in each precision, bytes a second of cache and memory; and with --device, "
             "the\n"
             "devices of a list, by the names that nib calls them.\n",
    .options = options,
    .examples = "  nib devices\n"
                "  nib devices --threads 1 --json\n"
                "  nib devices --device ./mirror.so:name=1,cpu\n",
    .after = "Plug-ins are opened with a model (--device); nib inspect says what each runs of it.\n",
    .model = CLI_MODEL_NONE,
    .run = run_devices,
};
