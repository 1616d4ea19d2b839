/* SPDX-License-Identifier: Apache-2.0
 *
 * A program that was compiled when nib_optimize_options had no `external_over`: what its struct does not have is the default.
 */
#include "known.h"

int main(void) {
    nib_optimize_options o;
    nib_report *report = NULL;
    nib_optimize_defaults(&o);
    nib_status whole = nib_graph_of_file(NIB_TEST_DATA "/onnx/linear.onnx", &o, NIB_GRAPH_TEXT, &report, NULL);
    nib_report_free(report);
    NEEDS(whole == NIB_OK);
    o.size = offsetof(nib_optimize_options, external_over);
    nib_status older = nib_graph_of_file(NIB_TEST_DATA "/onnx/linear.onnx", &o, NIB_GRAPH_TEXT, &report, NULL);
    nib_report_free(report);
    NEEDS(older == NIB_OK || older == NIB_INVALID_ARGUMENT);
    if (older == NIB_OK) return FAULT_IS_GONE;
    printf("options of an older size are refused\n");
    return FAULT_IS_THERE;
}
