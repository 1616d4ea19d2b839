/* SPDX-License-Identifier: Apache-2.0
 *
 * Files: reading by mapping and by private reads, paths that come from hostile files, and the writer, whose file appears
 * whole or not at all.
 */
#include "base_test.h"
#include "base/base_file.h"
#include <dirent.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/syscall.h>

static base_heap heap;

static void assert_contents(const base_file *f, const char *want) {
    assert_int_equal(f->size, strlen(want));
    if (f->size) assert_memory_equal(f->data, want, f->size);
}

static void reads_whole_files(void **state) {
    write_text(in_dir("a"), "some bytes");
    for (int private_read = 0; private_read < 2; private_read++) {
        base_file f;
        nib_error err = {0};
        assert_int_equal(base_file_open(&heap, in_dir("a"), private_read, &f, &err), NIB_OK);
        assert_contents(&f, "some bytes");
        assert_int_equal(f.mapped, !private_read);
        assert_string_equal(f.path, in_dir("a"));
        base_file_release(&f, f.data, f.size);
        assert_contents(&f, "some bytes");
        base_file_close(&f);
        assert_null(f.data);
        base_file_close(&f);
    }
    assert_int_equal(atomic_load(&heap.current), 0);
}

static void private_reads_do_not_see_later_changes(void **state) {
    base_file f;
    write_text(in_dir("private"), "before");
    assert_int_equal(base_file_open(&heap, in_dir("private"), true, &f, NULL), NIB_OK);
    assert_int_equal(truncate(in_dir("private"), 0), 0);
    assert_contents(&f, "before");
    base_file_close(&f);
}

static void empty_files_have_no_data(void **state) {
    write_text(in_dir("empty"), "");
    for (int private_read = 0; private_read < 2; private_read++) {
        base_file f;
        assert_int_equal(base_file_open(&heap, in_dir("empty"), private_read, &f, NULL), NIB_OK);
        assert_null(f.data);
        assert_int_equal(f.size, 0);
        base_file_close(&f);
    }
}

static void what_is_no_file_is_refused(void **state) {
    base_file f;
    nib_error err = {0};
    assert_int_equal(base_file_open(&heap, in_dir("missing"), false, &f, &err), NIB_NOT_FOUND);
    assert_non_null(strstr(err.message, "missing"));
    write_text(in_dir("plain"), "x");
    assert_int_equal(base_file_open(&heap, in_dir("plain/below"), false, &f, &err), NIB_NOT_FOUND);
    assert_int_equal(base_file_open(&heap, test_dir, false, &f, &err), NIB_IO);
    assert_int_equal(mkfifo(in_dir("fifo"), 0600), 0);
    assert_int_equal(base_file_open(&heap, in_dir("fifo"), false, &f, &err), NIB_IO); /* and does not wait for a writer */
    assert_int_equal(base_file_open(&heap, "/dev/null", false, &f, &err), NIB_IO);
    assert_int_equal(atomic_load(&heap.current), 0);
    base_file_close(&f);
}

static nib_status beneath(const char *root, const char *relative, const char *sibling, const char *want) {
    base_file f;
    nib_error err = {0};
    nib_status status = base_file_open_beneath(&heap, root, relative, sibling, false, &f, &err);
    if (status == NIB_OK && want) assert_contents(&f, want);
    base_file_close(&f);
    assert_int_equal(atomic_load(&heap.current), 0);
    return status;
}

static void paths_stay_beneath_their_folder(void **state) {
    char root[100];
    snprintf(root, sizeof root, "%s/root", test_dir);
    assert_int_equal(mkdir(root, 0755), 0);
    assert_int_equal(mkdir(in_dir("root/sub"), 0755), 0);
    assert_int_equal(mkdir(in_dir("root-beside"), 0755), 0);
    write_text(in_dir("root/a"), "a");
    write_text(in_dir("root/sub/b"), "b");
    write_text(in_dir("root/..c"), "c");
    write_text(in_dir("outside"), "secret");
    write_text(in_dir("root-beside/d"), "secret");
    assert_int_equal(symlink("../outside", in_dir("root/out")), 0);
    assert_int_equal(symlink("../root-beside", in_dir("root/beside")), 0);
    assert_int_equal(symlink("sub/b", in_dir("root/in")), 0);
    assert_int_equal(symlink("loop", in_dir("root/loop")), 0);
    assert_int_equal(link(in_dir("outside"), in_dir("root/hard")), 0);
    assert_int_equal(beneath(root, "a", NULL, "a"), NIB_OK);
    assert_int_equal(beneath(root, "sub/b", NULL, "b"), NIB_OK);
    assert_int_equal(beneath(root, "./sub//b", NULL, "b"), NIB_OK);
    assert_int_equal(beneath(root, "..c", NULL, "c"), NIB_OK);
    assert_int_equal(beneath(root, "in", NULL, "b"), NIB_OK);
    assert_int_equal(beneath(root, "hard", NULL, "secret"), NIB_OK); /* a hard link is a file of this folder */
    static const char *const bad[] = {"", "/etc/passwd", "../outside", "sub/../a", "sub/../../outside", "..", "sub/..", "out", "beside/d"};
    for (size_t i = 0; i < BASE_COUNT(bad); i++)
        if (beneath(root, bad[i], NULL, NULL) != NIB_BAD_MODEL) fail_msg("\"%s\" is not refused", bad[i]);
    assert_int_equal(beneath(root, "none", NULL, NULL), NIB_NOT_FOUND);
    assert_int_equal(beneath(root, "loop", NULL, NULL), NIB_IO);
    assert_int_equal(beneath(root, "sub", NULL, NULL), NIB_IO);
    assert_int_equal(beneath(root, "out", in_dir("root/a"), NULL), NIB_BAD_MODEL); /* a plain sibling opens no door */
    assert_int_equal(beneath(root, "out", in_dir("root/none"), NULL), NIB_BAD_MODEL);
    assert_int_equal(beneath(root, "out", in_dir("root/in"), NULL), NIB_BAD_MODEL);
}

/* models--x/snapshots/<commit>/file -> ../../blobs/<hash> */
static void hugging_face_caches_are_read(void **state) {
    static const char *const folders[] = {"hub",      "hub/blobs", "hub/snapshots", "hub/snapshots/c0ffee", "hub/snapshots/c0ffee/onnx",
                                          "hub/other"};
    for (size_t i = 0; i < BASE_COUNT(folders); i++) assert_int_equal(mkdir(in_dir(folders[i]), 0755), 0);
    write_text(in_dir("hub/blobs/1111"), "model");
    write_text(in_dir("hub/blobs/2222"), "weights");
    write_text(in_dir("hub/other/3333"), "secret");
    char root[100], sibling[120];
    snprintf(root, sizeof root, "%s/hub/snapshots/c0ffee", test_dir);
    snprintf(sibling, sizeof sibling, "%s/model.onnx", root);
    assert_int_equal(symlink("../../blobs/1111", in_dir("hub/snapshots/c0ffee/model.onnx")), 0);
    assert_int_equal(symlink("../../blobs/2222", in_dir("hub/snapshots/c0ffee/model.onnx_data")), 0);
    assert_int_equal(symlink("../../other/3333", in_dir("hub/snapshots/c0ffee/elsewhere")), 0);
    assert_int_equal(symlink("../../../blobs/1111", in_dir("hub/snapshots/c0ffee/onnx/model.onnx")), 0);
    assert_int_equal(symlink("../../../blobs/2222", in_dir("hub/snapshots/c0ffee/onnx/model.onnx_data")), 0);
    assert_int_equal(beneath(root, "model.onnx_data", NULL, "weights"), NIB_OK);
    assert_int_equal(beneath(root, "model.onnx_data", sibling, "weights"), NIB_OK);
    assert_int_equal(beneath(root, "elsewhere", sibling, NULL), NIB_BAD_MODEL);
    assert_int_equal(
        beneath(in_dir("hub/snapshots/c0ffee/onnx"), "model.onnx_data", in_dir("hub/snapshots/c0ffee/onnx/model.onnx"), "weights"), NIB_OK);
}

/* Another folder's files, all of them links: under their own names, through the cache, too; and nothing else beside the sibling. */
static void folders_of_links_are_read(void **state) {
    static const char *const folders[] = {"real", "real/1_Pooling", "links", "cached", "real/blobs"};
    static const char *const links[][2] = {{"../real/config.json", "links/config.json"}, {"../real/1_Pooling", "links/1_Pooling"},
                                           {"../real/private", "links/vocab.txt"},       {"../real/blobs/x", "links/x"},
                                           {"../hub/blobs/1111", "cached/model.onnx"},   {"../hub/blobs/2222", "cached/config.json"},
                                           {"../hub/other/3333", "cached/vocab.txt"}};
    char root[100], sibling[120];
    for (size_t i = 0; i < BASE_COUNT(folders); i++) assert_int_equal(mkdir(in_dir(folders[i]), 0755), 0);
    for (size_t i = 0; i < BASE_COUNT(links); i++) assert_int_equal(symlink(links[i][0], in_dir(links[i][1])), 0);
    write_text(in_dir("real/config.json"), "config");
    write_text(in_dir("real/1_Pooling/config.json"), "pooling");
    write_text(in_dir("real/private"), "secret");
    write_text(in_dir("real/blobs/x"), "secret");
    snprintf(root, sizeof root, "%s/links", test_dir);
    snprintf(sibling, sizeof sibling, "%s/config.json", root);
    assert_int_equal(beneath(root, "config.json", sibling, "config"), NIB_OK);
    assert_int_equal(beneath(root, "1_Pooling/config.json", sibling, "pooling"), NIB_OK);
    assert_int_equal(beneath(root, "1_Pooling/config.json", NULL, NULL), NIB_BAD_MODEL);
    assert_int_equal(beneath(root, "vocab.txt", sibling, NULL), NIB_BAD_MODEL); /* another name */
    assert_int_equal(beneath(root, "x", sibling, NULL), NIB_BAD_MODEL);
    snprintf(root, sizeof root, "%s/cached", test_dir);
    snprintf(sibling, sizeof sibling, "%s/config.json", root);
    assert_int_equal(beneath(root, "model.onnx", sibling, "model"), NIB_OK);
    assert_int_equal(beneath(root, "vocab.txt", sibling, NULL), NIB_BAD_MODEL);
}

/* ---- writing */

static int count_files(void) {
    int n = 0;
    DIR *d = opendir(test_dir);
    assert_non_null(d);
    for (const struct dirent *e; (e = readdir(d)) != NULL;) n += strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0;
    closedir(d);
    return n;
}

static void assert_file(const char *path, const char *want) {
    base_file f;
    assert_int_equal(base_file_open(&heap, path, true, &f, NULL), NIB_OK);
    assert_contents(&f, want);
    base_file_close(&f);
}

static void a_file_appears_on_commit_only(void **state) {
    base_writer *w;
    nib_error err = {0};
    const char *path = in_dir("new");
    int before = count_files();
    assert_int_equal(base_writer_open(&heap, path, &w, &err), NIB_OK);
    assert_int_equal(base_writer_write(w, "HEAD body", 9, &err), NIB_OK);
    assert_false(base_path_is_file(path));
    assert_int_equal(base_writer_rewind(w, &err), NIB_OK);
    assert_int_equal(base_writer_write(w, "head", 4, &err), NIB_OK);
    assert_int_equal(base_writer_commit(w, &err), NIB_OK);
    assert_file(path, "head body");
    struct stat st;
    mode_t mask = umask(0);
    umask(mask);
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0666 & ~mask);
    assert_int_equal(count_files(), before + 1);
    assert_int_equal(atomic_load(&heap.current), 0);
}

/* ---- what is synced: this stands in for the C library's */

static int syncs;
static struct stat last_synced;
static const char *awaited; /* is it there when the last sync begins? */
static bool was_there;

int fsync(int fd) {
    syncs++;
    was_there = awaited && access(awaited, F_OK) == 0;
    return fstat(fd, &last_synced) == 0 ? (int)syscall(SYS_fsync, fd) : -1;
}

static void assert_folder_synced(const char *folder) {
    struct stat st;
    assert_int_equal(stat(folder, &st), 0);
    assert_true(S_ISDIR(last_synced.st_mode));
    assert_true(st.st_ino == last_synced.st_ino && st.st_dev == last_synced.st_dev);
    assert_true(was_there);
}

/* A name is in its folder's bytes: those are synced after it is there. */
static void folders_are_synced_after_their_names(void **state) {
    char before[300];
    base_writer *w;
    nib_error err;
    awaited = in_dir("made");
    assert_int_equal(base_dir_create(awaited, &err), NIB_OK);
    assert_folder_synced(test_dir);
    syncs = 0;
    assert_int_equal(base_dir_create(awaited, &err), NIB_OK); /* it is there already */
    assert_int_equal(syncs, 0);
    const char *const paths[] = {in_dir("made/file"), "file-here"};
    assert_non_null(getcwd(before, sizeof before));
    for (int i = 0; i < 2; i++) {
        awaited = paths[i];
        if (i == 1) assert_int_equal(chdir(in_dir("made")), 0);
        assert_int_equal(base_writer_open(&heap, awaited, &w, &err), NIB_OK);
        assert_int_equal(base_writer_write(w, "x", 1, &err), NIB_OK);
        assert_int_equal(base_writer_commit(w, &err), NIB_OK);
        assert_folder_synced(in_dir("made"));
        assert_file(awaited, "x");
    }
    assert_int_equal(chdir(before), 0);
    awaited = NULL;
    assert_int_equal(atomic_load(&heap.current), 0);
}

static void abort_leaves_nothing(void **state) {
    base_writer *w;
    int before = count_files();
    assert_int_equal(base_writer_open(&heap, in_dir("aborted"), &w, NULL), NIB_OK);
    assert_int_equal(base_writer_write(w, "x", 1, NULL), NIB_OK);
    base_writer_abort(w);
    base_writer_abort(NULL);
    assert_int_equal(count_files(), before);
    assert_int_equal(atomic_load(&heap.current), 0);
}

static void permissions_are_kept(void **state) {
    base_writer *w;
    struct stat st;
    const char *path = in_dir("kept");
    write_text(path, "old");
    assert_int_equal(chmod(path, 0640), 0);
    assert_int_equal(base_writer_open(&heap, path, &w, NULL), NIB_OK);
    assert_int_equal(base_writer_write(w, "new", 3, NULL), NIB_OK);
    assert_int_equal(base_writer_commit(w, NULL), NIB_OK);
    assert_file(path, "new");
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0640);
}

/* A limit on file sizes behaves as a disk that runs full in the middle of a write. */
static void a_full_disk_leaves_the_old_file(void **state) {
    struct rlimit old, small;
    base_writer *w;
    nib_error err = {0};
    static char block[8192];
    const char *path = in_dir("full");
    write_text(path, "old");
    int before = count_files();
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &old), 0);
    small = old;
    small.rlim_cur = 10000;
    signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(base_writer_open(&heap, path, &w, &err), NIB_OK);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
    nib_status first = base_writer_write(w, block, sizeof block, &err), second = base_writer_write(w, block, sizeof block, &err);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &old), 0);
    signal(SIGXFSZ, SIG_DFL);
    assert_int_equal(first, NIB_OK);
    assert_int_equal(second, NIB_IO);
    assert_non_null(strstr(err.message, "full"));
    base_writer_abort(w);
    assert_file(path, "old");
    assert_int_equal(count_files(), before);
}

static void a_failed_write_cannot_be_committed(void **state) {
    struct rlimit old, small;
    base_writer *w;
    static char block[8192];
    const char *path = in_dir("half");
    write_text(path, "old");
    int before = count_files();
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &old), 0);
    small = old;
    small.rlim_cur = 100;
    signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(base_writer_open(&heap, path, &w, NULL), NIB_OK);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
    nib_status status = base_writer_write(w, block, sizeof block, NULL);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &old), 0);
    signal(SIGXFSZ, SIG_DFL);
    assert_int_equal(status, NIB_IO);
    assert_int_equal(base_writer_commit(w, NULL), NIB_IO);
    assert_file(path, "old");
    assert_int_equal(count_files(), before);
}

static void places_that_cannot_be_written(void **state) {
    base_writer *w = NULL;
    nib_error err = {0};
    assert_int_equal(base_writer_open(&heap, in_dir("no/such/folder"), &w, &err), NIB_IO);
    assert_null(w);
    assert_int_equal(base_writer_open(&heap, test_dir, &w, &err), NIB_IO);
    assert_null(w);
    int before = count_files();
    assert_int_equal(base_writer_open(&heap, in_dir("target"), &w, &err), NIB_OK);
    assert_int_equal(mkdir(in_dir("target"), 0755), 0); /* a folder comes in between */
    assert_int_equal(base_writer_commit(w, &err), NIB_IO);
    assert_int_equal(count_files(), before + 1); /* that folder, and no temporary file */
    assert_int_equal(atomic_load(&heap.current), 0);
}

static void paths_are_joined_and_split(void **state) {
    static const char *const joins[][3] = {{"a", "b", "a/b"}, {"a/", "b", "a/b"}, {"/", "b", "/b"}};
    static const char *const dirs[][2] = {{"a/b", "a"}, {"b", "."}, {"/b", "/"}, {"/a/b", "/a"}};
    for (size_t i = 0; i < BASE_COUNT(joins); i++) {
        char *p = base_path_join(&heap, joins[i][0], joins[i][1]);
        assert_string_equal(p, joins[i][2]);
        base_free(&heap, p);
    }
    for (size_t i = 0; i < BASE_COUNT(dirs); i++) {
        char *p = base_path_dir(&heap, dirs[i][0]);
        assert_string_equal(p, dirs[i][1]);
        base_free(&heap, p);
    }
    assert_true(base_path_is_dir(test_dir));
    assert_false(base_path_is_file(test_dir));
    assert_false(base_path_is_dir(in_dir("missing")));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_whole_files),
        cmocka_unit_test(private_reads_do_not_see_later_changes),
        cmocka_unit_test(empty_files_have_no_data),
        cmocka_unit_test(what_is_no_file_is_refused),
        cmocka_unit_test(paths_stay_beneath_their_folder),
        cmocka_unit_test(hugging_face_caches_are_read),
        cmocka_unit_test(folders_of_links_are_read),
        cmocka_unit_test(a_file_appears_on_commit_only),
        cmocka_unit_test(folders_are_synced_after_their_names),
        cmocka_unit_test(abort_leaves_nothing),
        cmocka_unit_test(permissions_are_kept),
        cmocka_unit_test(a_full_disk_leaves_the_old_file),
        cmocka_unit_test(a_failed_write_cannot_be_committed),
        cmocka_unit_test(places_that_cannot_be_written),
        cmocka_unit_test(paths_are_joined_and_split),
    };
    base_heap_init(&heap, NULL);
    return cmocka_run_group_tests(tests, test_dir_make, test_dir_remove);
}
