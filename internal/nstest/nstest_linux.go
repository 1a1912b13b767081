// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

// Package nstest runs tests against the real kernel without root.
//
// A package of kernel tests calls Main from its TestMain. Every test then gets
// network namespaces of its own from New, or a whole topology from package lab.
package nstest

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"syscall"
	"testing"

	"fairlead/internal/netns"
)

const child = "FAIRLEAD_NSTEST_CHILD"

// Main stands in for m.Run in TestMain. It runs the test binary once more as
// uid 0 of new user, network and mount namespaces. All flags are passed on, so
// -run, -v, -fuzz, -cover and -cpuprofile behave as usual.
//
// Where the host forbids user namespaces the tests run in place and those that
// need the kernel skip, unless CI is set.
func Main(m *testing.M) {
	main(m, &syscall.SysProcAttr{
		Cloneflags:                 syscall.CLONE_NEWUSER | syscall.CLONE_NEWNET | syscall.CLONE_NEWNS,
		UidMappings:                []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getuid(), Size: 1}},
		GidMappings:                []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getgid(), Size: 1}},
		GidMappingsEnableSetgroups: false,
	})
}

// MainAsRoot is Main, but root keeps its user namespace. Programs such as nft
// can then make the buffers of their sockets as large as they need
// (SO_SNDBUFFORCE), as they do outside of tests.
func MainAsRoot(m *testing.M) {
	if os.Getuid() != 0 {
		Main(m)
		return
	}
	main(m, &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET | syscall.CLONE_NEWNS})
}

func main(m *testing.M, attr *syscall.SysProcAttr) {
	if Available() {
		os.Exit(m.Run())
	}
	runtime.LockOSThread() // Pdeathsig follows the thread that forked
	cmd := exec.Command("/proc/self/exe", os.Args[1:]...)
	cmd.Env = append(os.Environ(), child+"=1")
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	attr.Pdeathsig = syscall.SIGKILL
	cmd.SysProcAttr = attr
	if err := cmd.Start(); err != nil {
		if inCI() {
			fmt.Fprintln(os.Stderr, "nstest: start in namespaces:", err)
			os.Exit(1)
		}
		os.Exit(m.Run())
	}
	var exit *exec.ExitError
	switch err := cmd.Wait(); {
	case err == nil:
		os.Exit(0)
	case errors.As(err, &exit) && exit.ExitCode() > 0:
		os.Exit(exit.ExitCode())
	default:
		fmt.Fprintln(os.Stderr, "nstest:", err)
		os.Exit(1)
	}
}

// Available reports whether this process may make network namespaces.
func Available() bool { return os.Getenv(child) != "" }

// Need skips the test where namespaces cannot be made.
func Need(t testing.TB) {
	t.Helper()
	if !Available() {
		Skip(t, "user namespaces are not available")
	}
}

// Skip skips the test because the kernel lacks something. Under CI it fails
// instead: a suite that can skip itself will, one day, and nobody will notice.
func Skip(t testing.TB, reason string) {
	t.Helper()
	if inCI() {
		t.Fatalf("CI is set, so this may not be skipped: %s", reason)
	}
	t.Skip(reason)
}

// New returns an empty network namespace that is closed when t ends.
func New(t testing.TB) *netns.NS {
	t.Helper()
	Need(t)
	ns, err := netns.New()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = ns.Close() })
	return ns
}

// Command returns a command that will run inside ns. It is for second opinions
// such as nft and conntrack; a missing program skips the test.
func Command(t testing.TB, ns *netns.NS, name string, args ...string) *exec.Cmd {
	t.Helper()
	if _, err := exec.LookPath(name); err != nil {
		Skip(t, name+" is not installed")
	}
	return exec.Command("nsenter", append([]string{fmt.Sprintf("--net=/proc/%d/fd/%d", os.Getpid(), ns.Fd()), "--", name}, args...)...)
}

func inCI() bool { return os.Getenv("CI") == "true" }
