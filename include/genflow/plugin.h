/* The genflow plugin ABI: plain C, the only contract between the `genflow` binary and a stage plugin.
 *
 * A plugin is a shared object that exports genflow_plugin_init(). It returns a descriptor that lives as
 * long as the process. The host reads the descriptor into a manifest when the plugin is installed, and
 * calls a stage's run() in a worker process of its own: one process, one stage, one call.
 *
 * Compatibility: every struct starts with its size in bytes as compiled by its author. Tables only grow
 * at their end; a reader looks at a member only if the size covers it. Majors must be equal; a plugin
 * may have any minor up to the host's. No exception, STL type or tensor crosses this border.
 *
 * Strings are UTF-8, zero-terminated, owned by whoever returns them, and stay valid until run() returns.
 */
#ifndef GENFLOW_PLUGIN_H_
#define GENFLOW_PLUGIN_H_

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define GENFLOW_ABI_MAJOR 1u
#define GENFLOW_ABI_MINOR 1u

#if defined(__GNUC__)
#define GENFLOW_EXPORT __attribute__((visibility("default")))
#else
#define GENFLOW_EXPORT
#endif

/* Type of a parameter. The value reaches run() inside params_json as the JSON type named here. */
typedef enum gf_type {
  GF_BOOL = 1,        /* boolean */
  GF_INT = 2,         /* integer */
  GF_FLOAT = 3,       /* number */
  GF_STRING = 4,      /* string */
  GF_ENUM = 5,        /* string, one of `choices` */
  GF_PATH = 6,        /* string: a file or folder; its content counts in the cache key. Absolute in run() */
  GF_FILES = 7,       /* array of strings: written as glob(s); the files matched, sorted, absolute in run();
                         each one's name and content count in the cache key */
  GF_STRING_LIST = 8, /* array of strings; a single string is taken as a list of one */
  GF_SIZE = 9,        /* integer of bytes; written as 8G, 512M */
  GF_DURATION = 10,   /* number of seconds; written as 30m, 1h30m */
  GF_JSON = 11        /* any JSON value */
} gf_type;

/* Flags of a parameter. */
#define GF_PARAM_REQUIRED 1u /* no default; the pipeline must give it */
#define GF_PARAM_SECRET 2u   /* never printed, stored or hashed in clear */
#define GF_PARAM_VOLATILE 4u /* does not count in the cache key (threads, log detail) */

typedef struct gf_param {
  uint32_t struct_size;
  uint32_t type; /* gf_type */
  uint32_t flags;
  const char* name;           /* dotted for nested keys: "lora.r" is written lora: { r: 16 } */
  const char* default_json;   /* JSON text; NULL: none (the key is absent in params_json when not given) */
  double min, max;            /* inclusive range of GF_INT, GF_FLOAT, GF_SIZE, GF_DURATION; min > max: none */
  const char* const* choices; /* NULL-terminated, for GF_ENUM; else NULL */
  const char* doc;            /* one or more sentences; the unit where there is one */
} gf_param;

/* Flags of a port. */
#define GF_PORT_OPTIONAL 1u /* input: need not be connected; output: need not be written */
#define GF_PORT_MANY 2u     /* input: takes a list of artifacts */

typedef struct gf_port {
  uint32_t struct_size;
  uint32_t flags;
  const char* name;
  const char* type; /* dataset, model, adapter, report, package, file; inputs also "any" */
  const char* doc;
} gf_port;

/* What run() returns. */
typedef enum gf_outcome {
  GF_OK = 0,
  GF_FAILED = 1,      /* after host->fail() said why */
  GF_GATE = 3,        /* a quality gate said no; outputs are kept; host->fail() said why */
  GF_INTERRUPTED = 75 /* stopped on request; the state folder holds what a rerun resumes from */
} gf_outcome;

typedef enum gf_level { GF_DEBUG = 0, GF_INFO = 1, GF_WARNING = 2, GF_ERROR = 3 } gf_level;

/* Why a stage failed, for host->fail(). */
typedef enum gf_error {
  GF_ERROR_INVALID = 1,     /* the user's input, data or parameters are wrong: retrying will not help */
  GF_ERROR_IO = 2,          /* files or network: retrying may help */
  GF_ERROR_EXHAUSTED = 3,   /* memory or disk */
  GF_ERROR_UNSUPPORTED = 4, /* not on this machine or in this build */
  GF_ERROR_INTERNAL = 5
} gf_error;

/* One connected input artifact. */
typedef struct gf_input {
  uint32_t struct_size;
  const char* port;
  const char* type;
  const char* path;   /* read-only file or folder */
  const char* digest; /* "sha256:<64 hex>" */
  const char* source; /* "stage.port" that made it */
} gf_input;

typedef struct gf_run gf_run; /* one call of a stage; owned by the host */

/* What the host offers to a running stage. All functions may be called from any thread. */
typedef struct gf_host {
  uint32_t struct_size;
  uint32_t abi_major, abi_minor;
  /* The resolved parameters: one JSON object, nested as in the pipeline file, defaults filled in. */
  const char* (*params_json)(gf_run*);
  size_t (*input_count)(gf_run*);
  const gf_input* (*input)(gf_run*, size_t index);
  /* Where to write an output: a path that does not exist yet inside an existing folder. Make a folder
   * or a file there. It is committed whole after run() returns GF_OK or GF_GATE, else discarded. */
  const char* (*output_path)(gf_run*, const char* port);
  /* A folder that survives retries and interruptions of this stage with this key; for checkpoints.
   * Removed once the stage has succeeded. */
  const char* (*state_dir)(gf_run*);
  /* A folder that is removed when run() returns. */
  const char* (*scratch_dir)(gf_run*);
  /* done of total (total 0: unknown) units ("tokens", "rows"); message may be NULL. Cheap: throttled. */
  void (*progress)(gf_run*, uint64_t done, uint64_t total, const char* unit, const char* message);
  /* One point of a metric's history. `step` counts from 0; -1: a single final value. */
  void (*metric)(gf_run*, const char* name, double value, int64_t step);
  void (*log)(gf_run*, int32_t level, const char* text);
  /* 1 once the run wants to stop: finish or save to the state folder, and return GF_INTERRUPTED. */
  int32_t (*should_stop)(gf_run*);
  /* Says why the stage is about to return GF_FAILED or GF_GATE. `hint` may be NULL. */
  void (*fail)(gf_run*, int32_t error, const char* message, const char* hint);
  /* Text for the end of the run, as Markdown; at most one a stage, the last one counts. */
  void (*summary)(gf_run*, const char* markdown);
  /* CPU threads this stage may use (at least 1). */
  int32_t (*threads)(gf_run*);
  /* Facts for lineage: JSON object with "run_id", "stage", "pipeline", "attempt", "key", and "absent_inputs":
     the optional ports that the pipeline connects to something that was not found; and "memory_limit", in
     bytes, where the stage's resources have one. */
  const char* (*info_json)(gf_run*);
  /* Since 1.1. Of a stage with GF_STAGE_PROCESSES: how many processes run it at once with the same
   * parameters, inputs and paths, and which of them this one is, from 0. What processes other than 0 report
   * is lost, but for fail(); the outputs are process 0's to write. When one of them ends early, the others
   * should: should_stop() says so to process 0, and after a time they are ended. */
  int32_t (*processes)(gf_run*);
  int32_t (*process)(gf_run*);
} gf_host;

/* Flags of a stage. */
#define GF_STAGE_PROCESSES 1u /* it can run in several processes: `resources: { processes: N }` */

typedef struct gf_stage {
  uint32_t struct_size;
  const char* name;              /* "train.lora": plugin word, dot, verb or noun */
  const char* version;           /* semantic; a change of results is at least a new minor */
  const char* summary;           /* one line */
  const char* doc;               /* Markdown for the reference; may be NULL */
  const gf_param* const* params; /* NULL-terminated lists of pointers */
  const gf_port* const* inputs;
  const gf_port* const* outputs;
  /* gf_outcome. Called once a process, on the main thread. */
  int32_t (*run)(const gf_host* host, gf_run* run);
  /* What is wrong with parameters that are each well-formed: called before a run, without any I/O, and again
   * before run(). Returns NULL, or (static or thread-local storage) one problem a line. A line that begins
   * with the name of a parameter, "lora.r is 0" or "require[1], column 3: ...", is shown at its place in the
   * file; a line "hint: ..." and lines that are indented (a text with a caret below it) belong to the one
   * before. In params_json, files are as written and paths may be relative. May be NULL. */
  const char* (*check)(const char* params_json);
  uint32_t flags; /* since 1.1 */
} gf_stage;

typedef struct gf_plugin {
  uint32_t struct_size;
  uint32_t abi_major, abi_minor;
  const char* name; /* "train" */
  const char* version;
  const gf_stage* const* stages; /* NULL-terminated */
} gf_plugin;

/* What genflow_plugin_init() returns. */
#define GF_INIT_OK 0
#define GF_INIT_OTHER_ABI 1 /* the plugin cannot work with this host */
#define GF_INIT_FAILED 2    /* the descriptor could not be made; stderr says why */

/* Sets *plugin and returns GF_INIT_OK, or returns why not. */
GENFLOW_EXPORT int32_t genflow_plugin_init(const gf_host* host, const gf_plugin** plugin);

typedef int32_t (*genflow_plugin_init_fn)(const gf_host* host, const gf_plugin** plugin);

#ifdef __cplusplus
}
#endif
#endif /* GENFLOW_PLUGIN_H_ */
