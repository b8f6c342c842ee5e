{
  "target_defaults": {
    "cflags": [
      "-std=gnu11", "-Wall", "-Wextra", "-Werror", "-Wshadow", "-Wpointer-arith", "-Wstrict-prototypes",
      "-Wformat=2", "-Wno-unused-parameter",
      "-fstack-protector-strong", "-D_FORTIFY_SOURCE=2", "-O2"
    ],
    "ldflags": ["-Wl,-z,relro", "-Wl,-z,now"],
    "variables": { "sanitize%": 0 },
    "conditions": [
      ["sanitize==1", {
        "cflags": ["-fsanitize=address,undefined", "-fno-omit-frame-pointer", "-g", "-O1", "-U_FORTIFY_SOURCE"],
        "ldflags": ["-fsanitize=address,undefined"]
      }]
    ]
  },
  "targets": [
    {
      "target_name": "ttyspy",
      "sources": ["addon.c", "descriptor.c", "foreign.c", "guard.c", "message.c", "poll.c", "process.c", "socket.c", "tty.c"],
      "defines": ["NAPI_VERSION=9", "_GNU_SOURCE"]
    },
    {
      "target_name": "launch",
      "type": "executable",
      "sources": ["launch.c"],
      "defines": ["_GNU_SOURCE"],
      "cflags": ["-fPIE"],
      "ldflags": ["-pie"]
    },
    {
      "target_name": "ttyspy-wait",
      "type": "executable",
      "sources": ["wait.c"],
      "cflags": ["-ffreestanding", "-fno-stack-protector", "-fno-pie"],
      "cflags!": ["-fsanitize=address,undefined", "-fstack-protector-strong", "-D_FORTIFY_SOURCE=2"],
      "ldflags": ["-nostdlib", "-nostartfiles", "-static", "-no-pie", "-Wl,--build-id=none"],
      "ldflags!": ["-fsanitize=address,undefined", "-rdynamic"]
    }
  ]
}
