/* SPDX-License-Identifier: Apache-2.0
 *
 * Folders that several processes write: what is made beneath a root stays there, locks are one process's, links and
 * parts replace nothing but themselves.
 */
#include "base_test.h"
#include "base/base_disk.h"
#include "base/base_file.h"
#include "base/base_stop.h"
#include <fcntl.h>
#include <sys/file.h>
#include <signal.h>
#include <sys/wait.h>

static base_heap heap;
static nib_error err;

static void folders_stay_beneath_their_root(void **state) {
    assert_int_equal(base_dirs_create(in_dir("root/of/all"), "a/b/c", &err), NIB_OK);
    assert_true(base_path_is_dir(in_dir("root/of/all/a/b/c")));
    assert_int_equal(base_dirs_create(in_dir("root/of/all"), "a/b/c", &err), NIB_OK);
    assert_int_equal(base_dirs_create(in_dir("root/of/all"), "", &err), NIB_OK);
    assert_int_equal(mkdir(in_dir("outside"), 0777), 0);
    assert_int_equal(symlink("../../../outside", in_dir("root/of/all/link")), 0);
    assert_int_equal(base_dirs_create(in_dir("root/of/all"), "link/in", &err), NIB_IO);
    assert_non_null(strstr(err.message, "a link or a file"));
    assert_false(base_path_is_dir(in_dir("outside/in")));
    write_text(in_dir("root/of/all/file"), "x");
    assert_int_equal(base_dirs_create(in_dir("root/of/all"), "file/in", &err), NIB_IO);
    assert_int_equal(base_dirs_create(in_dir("root/of/all/file"), "in", &err), NIB_IO);
    char name[300];
    memset(name, 'n', sizeof name - 1);
    name[sizeof name - 1] = 0;
    assert_int_equal(base_dirs_create(in_dir("root"), name, &err), NIB_IO);
    /* what is above the root may be a link: a cache on another disk */
    assert_int_equal(symlink("outside", in_dir("elsewhere")), 0);
    assert_int_equal(base_dirs_create(in_dir("elsewhere/cache"), "a", &err), NIB_OK);
    assert_true(base_path_is_dir(in_dir("outside/cache/a")));
}

static nib_status note(void *user, const char *name, nib_error *e) {
    strcat(user, name);
    strcat(user, " ");
    return strcmp(name, "stop") == 0 ? base_error_set(e, NIB_SHAPE, "stopped") : NIB_OK;
}

static void names_come_in_order(void **state) {
    char seen[100] = "";
    assert_int_equal(base_dir_each(&heap, in_dir("no folder"), 10, note, seen, &err), NIB_OK);
    assert_string_equal(seen, "");
    assert_int_equal(mkdir(in_dir("list"), 0777), 0);
    write_text(in_dir("list/b"), "");
    write_text(in_dir("list/a"), "");
    write_text(in_dir("list/c"), "");
    assert_int_equal(base_dir_each(&heap, in_dir("list"), 3, note, seen, &err), NIB_OK);
    assert_string_equal(seen, "a b c ");
    assert_int_equal(base_dir_each(&heap, in_dir("list"), 2, note, seen, &err), NIB_LIMIT);
    write_text(in_dir("list/stop"), "");
    seen[0] = 0;
    assert_int_equal(base_dir_each(&heap, in_dir("list"), 4, note, seen, &err), NIB_SHAPE);
    assert_string_equal(seen, "a b c stop ");
    assert_int_equal(atomic_load(&heap.current), 0);
}

static void links_replace_what_was_there(void **state) {
    char target[64];
    write_text(in_dir("one"), "1");
    write_text(in_dir("two"), "2");
    write_text(in_dir("name"), "file");
    assert_int_equal(base_link_put("one", in_dir("name"), &err), NIB_OK);
    assert_int_equal(base_link_put("two", in_dir("name"), &err), NIB_OK);
    ssize_t n = readlink(in_dir("name"), target, sizeof target);
    assert_int_equal(n, 3);
    assert_memory_equal(target, "two", 3);
    assert_int_equal(base_path_size(in_dir("one")), 1);
    assert_int_equal(base_link_put("one", in_dir("missing/name"), &err), NIB_IO);
    assert_int_equal(base_link_put("nowhere", in_dir("dangling"), &err), NIB_OK);
    assert_true(base_path_taken(in_dir("dangling")));
    assert_int_equal(base_path_size(in_dir("dangling")), -1);
    assert_false(base_path_taken(in_dir("never")));
    assert_int_equal(base_link_put(".", in_dir("loop"), &err), NIB_OK);
    assert_true(base_path_is_dir(in_dir("loop")) && !base_path_is_own_dir(in_dir("loop")));
    assert_true(base_path_is_own_dir(test_dir) && !base_path_is_own_dir(in_dir("one")));
}

static int always(void *user, uint64_t done, uint64_t total) { return 1; }

static nib_status take_or_stop(const char *path, int *lock) {
    base_stop stop;
    base_stop_begin(&stop, always, NULL, 0);
    nib_status status = base_lock_take(path, lock, &err);
    base_stop_end(&stop);
    return status;
}

static void a_lock_is_one_process_s(void **state) {
    int first, second, ready[2], status;
    assert_int_equal(pipe(ready), 0);
    const pid_t child = fork();
    if (child == 0) { /* another process, by flock alone, as other tools do it */
        const int fd = open(in_dir("lock"), O_RDWR | O_CREAT, 0664);
        if (flock(fd, LOCK_EX) != 0 || write(ready[1], "x", 1) != 1) _exit(1);
        for (;;) pause();
    }
    char byte;
    assert_int_equal(read(ready[0], &byte, 1), 1);
    assert_int_equal(take_or_stop(in_dir("lock"), &first), NIB_CANCELLED);
    assert_int_equal(first, -1);
    kill(child, SIGKILL);
    waitpid(child, &status, 0);
    assert_int_equal(base_lock_take(in_dir("lock"), &first, &err), NIB_OK);
    assert_int_equal(take_or_stop(in_dir("lock"), &second), NIB_CANCELLED);
    base_lock_release(first);
    assert_int_equal(base_lock_take(in_dir("lock"), &second, &err), NIB_OK);
    /* whoever unlocks may take the file away: who waited does not hold what nobody sees */
    assert_int_equal(unlink(in_dir("lock")), 0);
    assert_int_equal(base_lock_take(in_dir("lock"), &first, &err), NIB_OK);
    assert_int_equal(take_or_stop(in_dir("lock"), &(int){0}), NIB_CANCELLED);
    base_lock_release(first);
    base_lock_release(second);
    assert_int_equal(base_lock_take(in_dir("no folder/lock"), &first, &err), NIB_IO);
    close(ready[0]);
    close(ready[1]);
}

static void a_part_is_gone_on_with(void **state) {
    base_part *p;
    uint64_t size;
    char back[8] = "";
    assert_int_equal(base_part_open(&heap, in_dir("x.part"), &p, &size, &err), NIB_OK);
    assert_int_equal(size, 0);
    assert_int_equal(base_part_write(p, 0, "abc", 3, &err), NIB_OK);
    base_part_close(p);
    assert_int_equal(base_part_open(&heap, in_dir("x.part"), &p, &size, &err), NIB_OK);
    assert_int_equal(size, 3);
    assert_int_equal(base_part_read(p, 0, back, 3, &err), NIB_OK);
    assert_string_equal(back, "abc");
    assert_int_equal(base_part_read(p, 1, back, 3, &err), NIB_IO);
    assert_int_equal(base_part_write(p, 3, "defg", 4, &err), NIB_OK);
    assert_int_equal(base_part_commit(p, 5, in_dir("x"), &err), NIB_OK);
    base_part_close(p);
    assert_int_equal(base_path_size(in_dir("x")), 5);
    assert_false(base_path_taken(in_dir("x.part")));
    /* a link, a second name, a pipe: what is written there would be elsewhere */
    assert_int_equal(symlink("x", in_dir("y.part")), 0);
    assert_int_equal(base_part_open(&heap, in_dir("y.part"), &p, &size, &err), NIB_IO);
    assert_int_equal(link(in_dir("x"), in_dir("z.part")), 0);
    assert_int_equal(base_part_open(&heap, in_dir("z.part"), &p, &size, &err), NIB_IO);
    assert_int_equal(mkfifo(in_dir("p.part"), 0666), 0);
    assert_int_equal(base_part_open(&heap, in_dir("p.part"), &p, &size, &err), NIB_IO);
    assert_int_equal(base_path_size(in_dir("x")), 5);
    base_part_close(NULL);
    assert_int_equal(atomic_load(&heap.current), 0);
}

static void a_wait_may_be_stopped(void **state) {
    base_stop stop;
    base_stop_begin(&stop, always, NULL, 0);
    assert_int_equal(base_wait(3600, &err), NIB_CANCELLED);
    base_stop_end(&stop);
    assert_int_equal(base_wait(0, &err), NIB_OK);
    assert_true(base_disk_room(test_dir) > 0);
    assert_true(base_disk_room(in_dir("no such folder")) == UINT64_MAX);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(folders_stay_beneath_their_root), cmocka_unit_test(names_come_in_order),
        cmocka_unit_test(links_replace_what_was_there),    cmocka_unit_test(a_lock_is_one_process_s),
        cmocka_unit_test(a_part_is_gone_on_with),          cmocka_unit_test(a_wait_may_be_stopped),
    };
    base_heap_init(&heap, NULL);
    return cmocka_run_group_tests(tests, test_dir_make, test_dir_remove);
}
