/* SPDX-License-Identifier: Apache-2.0
 *
 * Shared libraries that are there or not: loaded when they are first wanted, so that who never wants them needs none.
 */
#ifndef BASE_LIBRARY_H
#define BASE_LIBRARY_H

/* The first library of `names` (ended by NULL) that the system finds; NULL: none. It stays loaded: what it set up for
 * the process may be in use. */
void *base_library_load(const char *const *names);
/* NULL: it has no such name. */
void *base_library_symbol(void *library, const char *name);

#endif
