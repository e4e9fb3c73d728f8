/* SPDX-License-Identifier: MIT
 * The modules of the API, in the order in which the OpenAPI document shows them. */
#include "gateway/module.h"

extern const struct gateway_module health_module, openapi_module, tenants_module, files_module, jobs_module;
extern const struct gateway_module processing_module, plans_module;
extern const struct gateway_module orders_module;
extern const struct gateway_module webhooks_module, credits_module;
extern const struct gateway_module portal_module, portal_admin_module;
extern const struct gateway_module classify_module;
extern const struct gateway_module admin_module, admin_rules_module;
extern const struct gateway_module console_module;
extern const struct gateway_module content_module;
extern const struct gateway_module wordlists_module;

const struct gateway_module *const gateway_modules[] = {
    &health_module, &openapi_module, &tenants_module, &files_module, &jobs_module,
    &processing_module,
    &orders_module,
    &plans_module,
    &webhooks_module,
    &credits_module,
    &portal_module,
    &portal_admin_module,
    &classify_module,
    &admin_module,
    &admin_rules_module,
    &console_module,
    &content_module,
    &wordlists_module,
};
const size_t gateway_module_count = sizeof gateway_modules / sizeof gateway_modules[0];
