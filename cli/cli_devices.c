/* SPDX-License-Identifier: Apache-2.0
 *
 * nib devices. In: nothing. Out: what computes here, and what it can do at most, measured.
 */
#include "cli.h"
#include "cli_steps.h"
#include <stdio.h>

static const cli_option devices_options[] = {
    {"json", 0, CLI_FLAG, CLI_AT(json), NULL, "one JSON object instead of lines", 1, 0, NULL}, {0}};

static int run_devices(cli_args *a) {
    nib_error error;
    nib_machine machine;
    int code;
    nib_runtime *runtime = cli_runtime(&a->m, &code);
    if (code) return code;
    if (nib_machine_measure(runtime, &machine, sizeof machine, &error) != NIB_OK) return cli_fail(&error);
    if (a->json) {
        printf("{\"devices\": [{\"name\": \"cpu\", \"instructions\": \"%s\", \"machine\": ", nib_cpu_name());
        cli_machine_json(&machine);
        puts("}]}");
        return 0;
    }
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
             "a moment: operations a second in each precision, bytes a second of cache and memory.\n",
    .options = options,
    .examples = "  nib devices\n"
                "  nib devices --threads 1 --json\n",
    .after = "Plug-ins beside the cpu are opened with a model (--device); nib inspect says what each runs of it.\n",
    .model = CLI_MODEL_NONE,
    .run = run_devices,
};
