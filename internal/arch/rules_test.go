// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package arch_test

// A rule forbids packages to import others.
type rule struct {
	from   []string // packages it binds, by directory; "internal/..." is a subtree
	except []string // packages it does not bind after all
	tests  bool     // whether test files are bound too
	deny   []string // import paths; "k8s.io/..." is a subtree
	allow  []string // import paths that deny does not mean
	why    string
}

var everything = []string{"..."}

func rules() []rule {
	leaves := []string{"fairlead/nat/...", "fairlead/conntrack/...", "fairlead/overlay/..."}
	return []rule{{
		from:   everything,
		except: []string{"proxier/...", "cmd/...", "bench/...", "deploy/..."},
		tests:  true,
		deny:   []string{"k8s.io/...", "sigs.k8s.io/..."},
		why:    "the Kubernetes vocabulary ends in proxier and cmd",
	}, {
		from: []string{"nat/..."}, tests: true, deny: leaves[1:],
		why: "what leaf packages share lives in internal/inet",
	}, {
		from: []string{"conntrack/..."}, tests: true, deny: []string{leaves[0], leaves[2]},
		why: "what leaf packages share lives in internal/inet",
	}, {
		from:  []string{"conntrack"},
		deny:  []string{"fairlead/...", "github.com/...", "k8s.io/..."},
		allow: []string{"fairlead/internal/inet", "fairlead/internal/netns", "fairlead/internal/nl", "fairlead/internal/worker", "github.com/mdlayher/netlink", "github.com/ti-mo/conntrack"},
		why:   "conntrack reads by internal/nl, deletes by ti-mo/conntrack and works by internal/worker",
	}, {
		from: []string{"overlay/..."}, tests: true, deny: leaves[:2],
		why: "what leaf packages share lives in internal/inet",
	}, {
		from:  append(dirs(leaves), "internal/..."),
		tests: true,
		deny:  []string{"fairlead/proxier/...", "fairlead/cmd/...", "fairlead/bench/..."},
		why:   "imports go from cmd to proxier to the leaf packages to internal",
	}, {
		from: []string{"internal/..."}, tests: true, deny: leaves,
		why: "internal packages are what the leaf packages are made of",
	}, {
		from: []string{"internal/chaos"}, deny: []string{"fairlead/...", "github.com/...", "golang.org/...", "os", "net", "sync", "context"},
		why: "internal/chaos draws and judges, and does nothing",
	}, {
		from: []string{"internal/httpd"}, deny: []string{"fairlead/...", "github.com/...", "golang.org/...", "k8s.io/..."},
		why: "internal/httpd bounds net/http and knows no answer",
	}, {
		from:  []string{"internal/healthcheck"},
		deny:  []string{"fairlead/...", "k8s.io/..."},
		allow: []string{"fairlead/internal/httpd", "fairlead/internal/netns", "fairlead/internal/worker"},
		why:   "the ports of Services need a server, a namespace and a loop",
	}, {
		from:  []string{"internal/nl"},
		deny:  []string{"fairlead/...", "github.com/...", "k8s.io/..."},
		allow: []string{"fairlead/internal/netns", "github.com/mdlayher/netlink"},
		why:   "internal/nl is the ground of everything that talks netlink",
	}, {
		from:  []string{"overlay"},
		deny:  []string{"fairlead/...", "github.com/...", "golang.org/...", "os", "syscall"},
		allow: []string{"fairlead/internal/inet"},
		why:   "the plan is pure: overlay/kernel reads and writes",
	}, {
		from: []string{"overlay/kernel"}, deny: []string{"fairlead/overlay/keeper"},
		why: "the kernel's side knows no loop",
	}, {
		from: []string{"overlay/keeper"}, deny: []string{"golang.org/x/sys/...", "github.com/...", "fairlead/internal/nl"},
		why: "the loop knows the kernel by overlay/kernel only",
	}, {
		from: []string{"proxier/...", "nat/...", "conntrack/..."}, deny: []string{"fairlead/overlay/kernel", "fairlead/overlay/keeper"},
		why: "what others need of the overlay are its words",
	}, {
		from: []string{"proxier/..."}, tests: true, deny: []string{"fairlead/cmd/...", "fairlead/bench/..."},
		why: "imports go from cmd to proxier",
	}, {
		from:  []string{"proxier/objects"},
		deny:  []string{"fairlead/...", "k8s.io/client-go/...", "k8s.io/api/...", "os", "net"},
		allow: []string{"fairlead/internal/flannel", "fairlead/internal/inet"},
		why:   "proxier/objects holds the words of the proxier",
	}, {
		from:  []string{"proxier/convert"},
		deny:  []string{"fairlead/...", "k8s.io/client-go/...", "os", "net"},
		allow: []string{"fairlead/internal/flannel", "fairlead/internal/inet", "fairlead/proxier/objects"},
		why:   "proxier/convert reads API objects and does no I/O",
	}, {
		from:  []string{"proxier/wire"},
		deny:  []string{"fairlead/...", "k8s.io/client-go/...", "os", "net"},
		allow: []string{"fairlead/internal/flannel", "fairlead/proxier/convert", "fairlead/proxier/objects"},
		why:   "proxier/wire reads bytes and does no I/O",
	}, {
		from:  []string{"proxier/status"},
		deny:  []string{"fairlead/..."},
		allow: []string{"fairlead/internal/worker", "fairlead/proxier/objects"},
		why:   "proxier/status keeps problems, whoever reports them",
	}, {
		from:  []string{"proxier/store"},
		deny:  []string{"fairlead/...", "k8s.io/client-go/...", "os", "net"},
		allow: []string{"fairlead/internal/worker", "fairlead/proxier/objects", "fairlead/proxier/status"},
		why:   "proxier/store knows objects and neither the table nor the overlay",
	}, {
		from:  []string{"proxier/source"},
		deny:  []string{"fairlead/..."},
		allow: []string{"fairlead/internal/filewatch", "fairlead/internal/jsonerr", "fairlead/proxier/objects", "fairlead/proxier/convert", "fairlead/proxier/status", "fairlead/proxier/store", "fairlead/proxier/wire"},
		why:   "sources fill the store and know nothing of its use",
	}, {
		from:  []string{"proxier/resolve"},
		deny:  []string{"fairlead/...", "k8s.io/client-go/...", "k8s.io/api/...", "k8s.io/klog/...", "os", "net", "sync", "context"},
		allow: []string{"fairlead/proxier/objects", "fairlead/nat", "fairlead/overlay", "fairlead/internal/flannel", "fairlead/internal/inet", "fairlead/internal/merge"},
		why:   "proxier/resolve is pure: objects in, frontends out",
	}, {
		from:  []string{"proxier/metrics"},
		deny:  []string{"fairlead/...", "k8s.io/client-go/..."},
		allow: []string{"fairlead/proxier/objects", "fairlead/proxier/store", "fairlead/proxier/resolve", "fairlead/nat", "fairlead/overlay", "fairlead/conntrack", "fairlead/internal/inet"},
		why:   "metrics are handed numbers and do not know the loop",
	}, {
		from: []string{"proxier"}, deny: []string{"fairlead/nat/kernel", "golang.org/x/sys/...", "fairlead/proxier/convert", "fairlead/proxier/source"},
		why: "the loop reaches the kernel by nat/apply, and objects by the store",
	}, {
		from:   everything,
		except: []string{"cmd/...", "deploy/...", "bench/...", "internal/lab/...", "internal/nstest", "internal/tools/..."},
		deny:   []string{"os/exec"},
		why:    "the agent runs no other program",
	}, {
		from:   everything,
		except: []string{"cmd/...", "bench/...", "internal/lab/...", "internal/nstest", "proxier/proxiertest"},
		deny:   []string{"fairlead/internal/lab/...", "fairlead/internal/nstest", "fairlead/proxier/proxiertest", "testing/..."},
		why:    "what serves tests stays in tests",
	}, {
		from: everything, deny: []string{"fairlead/internal/counts"},
		why: "what serves tests stays in tests",
	}, {
		from: []string{"nat"}, deny: []string{"fairlead/nat/...", "github.com/...", "golang.org/x/..."},
		why: "nat holds the words of the table; its stages are below it",
	}, {
		from: []string{"nat/ruleset"},
		deny: []string{"fairlead/nat/plan", "fairlead/nat/kernel", "fairlead/nat/apply", "fairlead/internal/nl", "fairlead/internal/netns", "github.com/mdlayher/...", "os", "net"},
		why:  "nat/ruleset describes the table and does no I/O",
	}, {
		from: []string{"nat/plan"},
		deny: []string{"fairlead/nat/kernel", "fairlead/nat/apply", "fairlead/internal/nl", "fairlead/internal/nft", "fairlead/internal/netns", "github.com/...", "golang.org/x/...", "os", "net"},
		why:  "nat/plan compares values and does no I/O",
	}, {
		from: []string{"nat/kernel"}, deny: []string{"fairlead/nat/plan", "fairlead/nat/apply", "github.com/mdlayher/..."},
		why: "nat/kernel carries out batches and reads snapshots; it plans nothing",
	}, {
		from: []string{"nat/apply"},
		deny: []string{"fairlead/nat/kernel", "fairlead/internal/nl", "fairlead/internal/nft", "fairlead/internal/netns", "github.com/...", "golang.org/x/..."},
		why:  "nat/apply knows the kernel by an interface of two methods",
	}, {
		from: []string{"nat/listing"},
		deny: []string{"fairlead/nat/plan", "fairlead/nat/kernel", "fairlead/nat/apply", "fairlead/internal/nl", "fairlead/internal/netns", "os", "net"},
		why:  "nat/listing prints what was read and does no I/O",
	}, {
		from: []string{"nat/evaluate"},
		deny: []string{"fairlead/nat/plan", "fairlead/nat/kernel", "fairlead/nat/apply", "fairlead/internal/nl", "fairlead/internal/netns", "os", "net"},
		why:  "nat/evaluate executes rules that were read and does no I/O",
	}, {
		from: []string{"internal/nft"}, deny: []string{"fairlead/internal/netns", "github.com/mdlayher/...", "os", "net"},
		why: "internal/nft writes and reads bytes and does no I/O",
	}, {
		from: everything, except: []string{"nat/nattest"}, deny: []string{"fairlead/nat/nattest"},
		why: "what serves tests stays in tests",
	}, {
		from: []string{"cmd/fairlead/node"}, deny: []string{
			"fairlead/cmd/fairlead/options", "fairlead/cmd/fairlead/agent", "fairlead/nat/kernel", "fairlead/overlay/kernel",
			"fairlead/overlay/keeper", "fairlead/conntrack", "github.com/spf13/...",
		},
		why: "node takes a node.Config, knows no flags, and leaves the kernel's table and overlay to agent",
	}, {
		from: []string{"cmd/fairlead/options"}, deny: []string{
			"fairlead/cmd/fairlead/agent", "fairlead/nat/kernel", "fairlead/overlay/kernel", "fairlead/overlay/keeper", "fairlead/conntrack",
			"k8s.io/client-go/...",
		},
		why: "options turns flags into configurations and starts nothing",
	}, {
		from: []string{"cmd/fairlead"}, deny: []string{
			"fairlead/nat/kernel", "fairlead/overlay/kernel", "fairlead/overlay/keeper", "fairlead/conntrack", "k8s.io/client-go/...",
		},
		why: "a command parses flags and calls one package; agent and inspect open the kernel",
	}, {
		from: []string{"cmd/fairlead/inspect"}, deny: []string{
			"fairlead/cmd/fairlead/agent", "fairlead/cmd/fairlead/node", "fairlead/nat/apply", "fairlead/overlay/keeper",
			"github.com/spf13/...",
		},
		why: "inspect reads the kernel for commands, and writes nothing",
	}, {
		from: []string{"cmd/fairlead/view"}, deny: []string{
			"fairlead/cmd/fairlead/...", "fairlead/nat/kernel", "fairlead/conntrack", "github.com/...", "golang.org/x/sys/...",
			"k8s.io/client-go/...", "os", "net",
		},
		allow: []string{"fairlead/cmd/fairlead/doctor/finding"}, // results of checks, as text
		why:   "cmd/fairlead/view is what commands know of a node, and does no I/O",
	}, {
		from: []string{"cmd/fairlead/output"}, deny: []string{"fairlead/...", "k8s.io/...", "os", "net"},
		why: "cmd/fairlead/output prints and knows no node",
	}, {
		from: []string{"cmd/fairlead/explain"}, deny: []string{
			"fairlead/cmd/fairlead/inspect", "fairlead/cmd/fairlead/agent", "fairlead/cmd/fairlead/node", "fairlead/cmd/fairlead/options",
			"fairlead/nat/kernel", "github.com/...", "golang.org/x/sys/...", "k8s.io/client-go/...", "os", "net",
		},
		why: "cmd/fairlead/explain joins what was read and does no I/O",
	}, {
		from: []string{"cmd/fairlead/state"}, tests: true, deny: []string{"fairlead/...", "github.com/...", "golang.org/...", "k8s.io/...", "os", "net", "net/http"},
		why: "state holds the words of the agent's answers and does no I/O",
	}, {
		from: []string{"cmd/fairlead/screen"}, deny: []string{"fairlead/...", "k8s.io/...", "os", "net"},
		allow: []string{"fairlead/cmd/fairlead/output", "fairlead/cmd/fairlead/state"},
		why:   "screen turns states into text and does no I/O",
	}, {
		from: []string{"cmd/fairlead/fleet"}, deny: []string{"fairlead/...", "github.com/..."},
		allow: []string{"fairlead/cmd/fairlead/ask", "fairlead/cmd/fairlead/state"},
		why:   "fleet asks agents and knows no commands",
	}, {
		from: []string{"cmd/fairlead/ask"}, tests: true, deny: []string{"fairlead/...", "github.com/...", "k8s.io/..."},
		allow: []string{"fairlead/cmd/fairlead/ask", "fairlead/cmd/fairlead/state", "fairlead/internal/peercred"},
		why:   "ask carries answers and knows neither agent nor commands",
	}, {
		from: []string{"cmd/fairlead/agent"}, tests: true, deny: []string{"github.com/spf13/..."},
		why: "agent takes an options.Config and knows no flags",
	}, {
		from: []string{"cmd/fairlead-lab/..."}, tests: true,
		deny: []string{"fairlead/cmd/fairlead", "fairlead/cmd/fairlead/...", "fairlead/proxier/...", "k8s.io/client-go/..."},
		allow: []string{
			"fairlead/cmd/fairlead/reach/plan", "fairlead/cmd/fairlead/reach/report", "fairlead/cmd/fairlead/reach/talk",
			"fairlead/cmd/fairlead/view", "fairlead/cmd/fairlead/inspect", "fairlead/cmd/fairlead/output", "fairlead/proxier/resolve",
		},
		why: "the lab starts fairlead as a program, and shares no code with it but the test of connectivity, which knows no agent, and what reads a bundle",
	}, {
		from: []string{"cmd/fairlead-lab/rebuild/plan"}, deny: []string{"os", "net", "golang.org/...", "github.com/..."},
		why: "the plan is pure: rebuild reads the bundle and makes the namespaces",
	}, {
		from: []string{"cmd/fairlead-lab/world/..."}, tests: true, deny: []string{"fairlead/cmd/fairlead-lab/demo/..."},
		why: "imports go from demo to world",
	}, {
		from: []string{"cmd/fairlead/..."}, deny: []string{"fairlead/cmd/fairlead-lab/..."},
		why: "what serves tests stays in tests",
	}, {
		from: everything, tests: true, deny: []string{"log", "log/slog", "github.com/golang/glog"},
		why: "logs are contextual klog, and only in proxier and cmd",
	}}
}
