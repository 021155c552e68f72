// Preloaded into genflow by the tests: system calls on the paths below $FAULT_PATH fail as told.
//   FAULT_PROGRAM  only in processes whose first argument is this ("run"); empty or unset: in all
//   FAULT_CALL     open, write, read, sync, rename, mkdir, link, copy: the calls that are counted
//   FAULT_AT       the number of the call that fails, from 1; 0: none, they are only counted
//   FAULT_ERRNO    what it fails with
//   FAULT_LASTING  1: so do all later ones
//   FAULT_KILL     1: it does not fail but kills the process; of what it was to write half is written
//   FAULT_COUNT    a file that gets the number of calls when the program ends
//   FAULT_READONLY 1: whatever would change something below $FAULT_PATH fails with EROFS
//   FAULT_CLOCK_AT the real-time clock jumps back by a day at this reading of it, from 1
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

namespace {

constexpr long kDay = 86400;

struct Settings {
  char path[4096] = {};
  char call[16] = {};
  char count_file[4096] = {};
  long at = 0, clock_at = 0;
  int error = EIO;
  bool lasting = false, kills = false, read_only = false, on = false;
};
Settings g;
long g_calls = 0, g_clock_readings = 0;
__thread bool t_inside = false;  // what the shim itself calls is left alone

const char* Env(const char* name) {
  const char* value = getenv(name);
  return value != nullptr ? value : "";
}

void WriteCount() {
  if (!g.on || g.count_file[0] == '\0') return;
  const int fd = static_cast<int>(
      syscall(SYS_openat, AT_FDCWD, g.count_file, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644));
  if (fd < 0) return;
  char text[32];
  const int length = snprintf(text, sizeof text, "%ld", __atomic_load_n(&g_calls, __ATOMIC_RELAXED));
  (void)!syscall(SYS_write, fd, text, static_cast<size_t>(length));
  syscall(SYS_close, fd);
}

bool IsProgram(const char* wanted) {
  if (*wanted == '\0') return true;
  char text[4096] = {};
  const int fd =
      static_cast<int>(syscall(SYS_openat, AT_FDCWD, "/proc/self/cmdline", O_RDONLY | O_CLOEXEC, 0));
  const long n = fd < 0 ? 0 : syscall(SYS_read, fd, text, sizeof text - 1);
  if (fd >= 0) syscall(SYS_close, fd);
  const size_t first = strlen(text) + 1;
  return n > static_cast<long>(first) && strcmp(text + first, wanted) == 0;
}

struct Load {
  Load() {
    snprintf(g.path, sizeof g.path, "%s", Env("FAULT_PATH"));
    snprintf(g.call, sizeof g.call, "%s", Env("FAULT_CALL"));
    snprintf(g.count_file, sizeof g.count_file, "%s", Env("FAULT_COUNT"));
    g.at = atol(Env("FAULT_AT"));
    g.clock_at = atol(Env("FAULT_CLOCK_AT"));
    g.error = atoi(Env("FAULT_ERRNO"));
    g.lasting = *Env("FAULT_LASTING") == '1';
    g.kills = *Env("FAULT_KILL") == '1';
    g.read_only = *Env("FAULT_READONLY") == '1';
    g.on = IsProgram(Env("FAULT_PROGRAM"));
  }
  ~Load() { WriteCount(); }
} g_load;

bool Below(const char* path) {
  if (path == nullptr || g.path[0] == '\0') return false;
  char absolute[8192];
  if (path[0] != '/') {
    if (syscall(SYS_getcwd, absolute, 4096) < 0) return false;
    strcat(absolute, "/");
    strncat(absolute, path, 4000);
    path = absolute;
  }
  return strncmp(path, g.path, strlen(g.path)) == 0;
}

bool FdBelow(int fd) {
  char link[64], path[4096];
  snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
  const long n = syscall(SYS_readlink, link, path, sizeof path - 1);
  if (n <= 0) return false;
  path[n] = '\0';
  return Below(path);
}

// Whether this call fails; errno is set then.
bool Fails(const char* call, bool below, bool changes) {
  if (!g.on || t_inside || !below) return false;
  if (g.read_only && changes) {
    errno = EROFS;
    return true;
  }
  if (strcmp(call, g.call) != 0) return false;
  const long number = __atomic_add_fetch(&g_calls, 1, __ATOMIC_RELAXED);
  if (g.at == 0 || number < g.at || (number > g.at && !g.lasting)) return false;
  errno = g.error;
  return true;
}

// What a call that fails returns, if at all.
int Failed() {
  if (g.kills) syscall(SYS_kill, static_cast<pid_t>(syscall(SYS_getpid)), SIGKILL);
  return -1;
}

template <class F>
F Next(const char* name) {
  return reinterpret_cast<F>(dlsym(RTLD_NEXT, name));
}

bool Writes(int flags) { return (flags & (O_WRONLY | O_RDWR | O_CREAT | O_TRUNC)) != 0; }

mode_t ModeOf(int flags, va_list args) {
  return (flags & (O_CREAT | O_TMPFILE)) != 0 ? static_cast<mode_t>(va_arg(args, int)) : 0;
}

bool JumpsBack() {
  return g.clock_at > 0 && g.on && __atomic_add_fetch(&g_clock_readings, 1, __ATOMIC_RELAXED) >= g.clock_at;
}

}  // namespace

extern "C" {

#define OPEN(name)                                                         \
  int name(const char* path, int flags, ...) {                             \
    va_list args;                                                          \
    va_start(args, flags);                                                 \
    const mode_t mode = ModeOf(flags, args);                               \
    va_end(args);                                                          \
    if (Fails("open", Below(path), Writes(flags))) return Failed();        \
    return Next<int (*)(const char*, int, ...)>(#name)(path, flags, mode); \
  }
OPEN(open)
OPEN(open64)

#define OPENAT(name)                                                                         \
  int name(int folder, const char* path, int flags, ...) {                                   \
    va_list args;                                                                            \
    va_start(args, flags);                                                                   \
    const mode_t mode = ModeOf(flags, args);                                                 \
    va_end(args);                                                                            \
    const bool below = path[0] == '/' || folder == AT_FDCWD ? Below(path) : FdBelow(folder); \
    if (Fails("open", below, Writes(flags))) return Failed();                                \
    return Next<int (*)(int, const char*, int, ...)>(#name)(folder, path, flags, mode);      \
  }
OPENAT(openat)
OPENAT(openat64)

#define CALL(result, name, kind, below, changes, parameters, arguments) \
  result name parameters {                                              \
    if (Fails(kind, below, changes)) return Failed();                   \
    return Next<result(*) parameters>(#name) arguments;                 \
  }
ssize_t write(int fd, const void* data, size_t size) {
  if (Fails("write", FdBelow(fd), true)) {
    if (g.kills) (void)!syscall(SYS_write, fd, data, size / 2);
    return Failed();
  }
  return Next<ssize_t (*)(int, const void*, size_t)>("write")(fd, data, size);
}
CALL(ssize_t, pwrite, "write", FdBelow(fd), true, (int fd, const void* data, size_t size, off_t at),
     (fd, data, size, at))
CALL(ssize_t, pwrite64, "write", FdBelow(fd), true, (int fd, const void* data, size_t size, off64_t at),
     (fd, data, size, at))
CALL(ssize_t, read, "read", FdBelow(fd), false, (int fd, void* data, size_t size), (fd, data, size))
CALL(ssize_t, pread, "read", FdBelow(fd), false, (int fd, void* data, size_t size, off_t at),
     (fd, data, size, at))
CALL(ssize_t, pread64, "read", FdBelow(fd), false, (int fd, void* data, size_t size, off64_t at),
     (fd, data, size, at))
CALL(int, ftruncate, "write", FdBelow(fd), true, (int fd, off_t size), (fd, size))
CALL(int, ftruncate64, "write", FdBelow(fd), true, (int fd, off64_t size), (fd, size))
CALL(int, fsync, "sync", FdBelow(fd), false, (int fd), (fd))
CALL(int, fdatasync, "sync", FdBelow(fd), false, (int fd), (fd))
CALL(int, rename, "rename", Below(to) || Below(from), true, (const char* from, const char* to), (from, to))
CALL(int, mkdir, "mkdir", Below(path), true, (const char* path, mode_t mode), (path, mode))
CALL(int, unlink, "unlink", Below(path), true, (const char* path), (path))
CALL(int, rmdir, "unlink", Below(path), true, (const char* path), (path))
CALL(int, link, "link", Below(to) || Below(from), true, (const char* from, const char* to), (from, to))
CALL(int, linkat, "link", true, true, (int a, const char* from, int b, const char* to, int flags),
     (a, from, b, to, flags))
CALL(ssize_t, copy_file_range, "copy", FdBelow(in) || FdBelow(out), true,
     (int in, off64_t* from, int out, off64_t* to, size_t size, unsigned flags),
     (in, from, out, to, size, flags))
CALL(int, access, "access", Below(path) && (mode & W_OK) != 0, true, (const char* path, int mode),
     (path, mode))

int clock_gettime(clockid_t id, struct timespec* time) {
  const int result = static_cast<int>(syscall(SYS_clock_gettime, id, time));
  if (result == 0 && id == CLOCK_REALTIME && JumpsBack()) time->tv_sec -= kDay;
  return result;
}

time_t time(time_t* out) {
  struct timespec now;
  clock_gettime(CLOCK_REALTIME, &now);
  if (out != nullptr) *out = now.tv_sec;
  return now.tv_sec;
}

int gettimeofday(struct timeval* out, void*) {
  struct timespec now;
  clock_gettime(CLOCK_REALTIME, &now);
  out->tv_sec = now.tv_sec;
  out->tv_usec = now.tv_nsec / 1000;
  return 0;
}
}
