/* SPDX-License-Identifier: MIT
 * The arithmetic of admission. The limit of a runner's memory is a ceiling against hostile files, far above
 * what a usual one takes; charging it whole would leave most of the machine idle. */
#include "workers/admission.h"

#define ENGINE_BYTES (UINT64_C(48) << 20) /* a warm engine at work on a small file */
#define INPUT_FACTOR 4                    /* decoded forms of the input, measured on usual PDFs and photos */

uint64_t admission_cost(uint64_t input_bytes, uint64_t memory_limit) {
    uint64_t engine = input_bytes > (UINT64_MAX - ENGINE_BYTES) / (INPUT_FACTOR + 1)
                          ? UINT64_MAX / 2
                          : ENGINE_BYTES + INPUT_FACTOR * input_bytes;

    if (memory_limit != 0 && engine > memory_limit)
        engine = memory_limit;
    return input_bytes > UINT64_MAX / 2 ? UINT64_MAX / 2 : input_bytes + engine;
}

bool admission_fits(const struct admission *admission, uint64_t cost) {
    if (admission->held == 0)
        return true;
    if (admission->held >= admission->slots + admission->prefetch)
        return false;
    return admission->budget_bytes == 0 || cost <= admission_free_bytes(admission);
}

void admission_charge(struct admission *admission, uint64_t cost) {
    admission->held++;
    admission->charged_bytes += cost;
}

void admission_return(struct admission *admission, uint64_t cost) {
    admission->held--;
    admission->charged_bytes -= cost;
}

bool admission_fits_beside(const struct admission *admission, uint64_t cost) {
    return admission->budget_bytes == 0 || admission->charged_bytes == 0 ||
           cost <= admission_free_bytes(admission);
}

void admission_charge_beside(struct admission *admission, uint64_t cost) {
    admission->charged_bytes += cost;
}

void admission_return_beside(struct admission *admission, uint64_t cost) {
    admission->charged_bytes -= cost;
}

uint64_t admission_credit(const struct admission *admission, uint64_t waiting) {
    uint64_t places = admission->slots + admission->prefetch;
    uint64_t taken = admission->held + waiting;

    if (admission->budget_bytes != 0 && admission->held > 0 && admission_free_bytes(admission) == 0)
        return 0;
    return taken >= places ? 0 : places - taken;
}

uint64_t admission_free_bytes(const struct admission *admission) {
    return admission->charged_bytes >= admission->budget_bytes
               ? 0
               : admission->budget_bytes - admission->charged_bytes;
}
