package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/firedrill-dev/firedrill/injector/disk"
	"github.com/firedrill-dev/firedrill/injector/process"
	"github.com/firedrill-dev/firedrill/injector/remote"
	"github.com/firedrill-dev/firedrill/scenarios"
	"github.com/firedrill-dev/firedrill/scenarios/language"
	"github.com/firedrill-dev/firedrill/scenarios/source"
)

func doctorCommand() *cobra.Command {
	var dir string
	cmd := &cobra.Command{
		Use:   "doctor [paths]",
		Short: "Say what this machine and these features lack; starts nothing",
		Long: `Says what this machine and the given features lack, and what to do about it. Nothing is started.

Exit codes: 0 nothing that prevents a run; 2 something does.`,
		RunE: func(cmd *cobra.Command, args []string) error {
			in, err := inputOf(args, "")
			if err != nil {
				return err
			}
			return examine(cmd.Context(), cmd.OutOrStdout(), in, dir)
		},
	}
	cmd.Flags().StringVar(&dir, "dir", runsDir, "parent of run folders")
	return cmd
}

// finding is what an examination of the machine or of features found.
type finding struct {
	what   string
	is     string // "ok", "missing" (some scenarios are skipped or cannot be run) or "broken" (nothing runs)
	detail string
	remedy string // "" if it is ok
}

func examine(ctx context.Context, out io.Writer, in input, dir string) error {
	findings := []finding{platform(), runFolder(dir)}
	es, err := language.Parse(language.Source{FS: in.fsys, Root: in.root, Paths: in.paths, Tags: in.tags, Find: process.FindProgram, LookupEnv: os.LookupEnv})
	var problems scenarios.Problems
	switch {
	case errors.As(err, &problems):
		findings = append(findings, finding{"features", "broken", count(len(problems), "mistake"), inOneLine(problems[0]) + "; firedrill plan lists all"})
	case err != nil:
		return err
	default:
		findings = append(findings, finding{"features", "ok", count(len(es), "scenario") + " without a mistake", ""})
		findings = append(findings, servers(es)...)
		findings = append(findings, running(ctx, es)...)
		findings = append(findings, proxies(ctx, es)...)
	}
	findings = append(findings, powerLoss())
	broken := false
	for _, f := range findings {
		icon := map[string]string{"ok": "✓", "missing": "–", "broken": "✗"}[f.is]
		fmt.Fprintf(out, "%s %-12s %s\n", icon, f.what, f.detail)
		if f.remedy != "" {
			fmt.Fprintf(out, "               %s\n", f.remedy)
		}
		if f.is == "broken" {
			broken = true
		}
	}
	if broken {
		return exit(usage)
	}
	return nil
}

// inOneLine returns the place of a problem, its cause and its remedy.
func inOneLine(p source.Problem) string {
	text := p.What
	if p.File != "" {
		text = fmt.Sprintf("%s:%d: %s", p.File, p.Line, p.What)
	}
	if p.Hint != "" {
		text += ": " + p.Hint
	}
	return text
}

func platform() finding {
	detail := fmt.Sprintf("%s/%s, %s", runtime.GOOS, runtime.GOARCH, count(runtime.NumCPU(), "CPU"))
	if runtime.GOOS != "linux" {
		return finding{"platform", "missing", detail, "everything is tested on Linux; runner/README.md says what differs elsewhere"}
	}
	return finding{"platform", "ok", detail, ""}
}

func runFolder(dir string) finding {
	err := os.MkdirAll(dir, 0o700)
	if err == nil {
		var probe string
		if probe, err = os.MkdirTemp(dir, "doctor"); err == nil {
			err = os.Remove(probe)
		}
	}
	if err != nil {
		return finding{"run folder", "broken", err.Error(), "name one that can be written: --dir"}
	}
	return finding{"run folder", "ok", dir, ""}
}

// servers returns the programs that services need, and how many scenarios are skipped without them.
func servers(es []*scenarios.Experiment) (all []finding) {
	scenariosOf, install := map[string]int{}, map[string]string{}
	for _, e := range es {
		var needed []string
		for _, s := range e.System.Services {
			if s.Needs == "" || slices.Contains(needed, s.Needs) {
				continue
			}
			needed = append(needed, s.Needs)
			if _, err := process.FindProgram(e.System.ProgramDir(s), s.Needs); err != nil {
				scenariosOf[s.Needs]++
				install[s.Needs] = s.Install
			} else if _, known := scenariosOf[s.Needs]; !known {
				scenariosOf[s.Needs] = 0
			}
		}
	}
	var present []string
	for program, skipped := range scenariosOf {
		if skipped == 0 {
			present = append(present, program)
			continue
		}
		all = append(all, finding{program, "missing", "without it, skipped: " + count(skipped, "scenario"), install[program]})
	}
	slices.SortFunc(all, func(a, b finding) int { return strings.Compare(a.what, b.what) })
	if len(present) > 0 {
		slices.Sort(present)
		all = append([]finding{{"programs", "ok", strings.Join(present, ", "), ""}}, all...)
	}
	return all
}

// running examines whether something listens at the addresses of services that are not started, apart from those over UDP.
func running(ctx context.Context, es []*scenarios.Experiment) (all []finding) {
	seen := map[string]bool{}
	for _, e := range es {
		for _, s := range e.System.Services {
			udp := func(l scenarios.Link) bool { return l.To == s.Name && l.UDP() }
			if s.Address == "" || s.StandIn != nil || seen[s.Address] || slices.ContainsFunc(e.System.Links, udp) {
				continue
			}
			seen[s.Address] = true
			network, address := "tcp", s.Address
			if path, ok := strings.CutPrefix(s.Address, source.UnixPrefix); ok {
				network, address = "unix", path
			}
			conn, err := (&net.Dialer{Timeout: time.Second}).DialContext(ctx, network, address)
			if err != nil {
				all = append(all, finding{s.Name, "missing", "does not run: " + err.Error(), "start it before a run, or correct its address; until then, scenarios that need it are inconclusive"})
				continue
			}
			_ = conn.Close()
		}
	}
	return all
}

// proxies examines the proxies of Toxiproxy servers that links lead through.
func proxies(ctx context.Context, es []*scenarios.Experiment) (all []finding) {
	seen := map[scenarios.Toxiproxy]bool{}
	for _, e := range es {
		for _, l := range e.System.Links {
			if l.Toxiproxy == nil || seen[*l.Toxiproxy] {
				continue
			}
			seen[*l.Toxiproxy] = true
			f := finding{"toxiproxy", "ok", l.Toxiproxy.String(), ""}
			if err := remote.Examine(ctx, remote.Config{Server: l.Toxiproxy.Server, Proxy: l.Toxiproxy.Proxy, Listen: l.Toxiproxy.Listen}); err != nil {
				f.is, f.detail, f.remedy = "missing", err.Error(), "until then, scenarios whose links lead through it are inconclusive"
			}
			all = append(all, f)
		}
	}
	return all
}

func powerLoss() finding {
	if err := disk.Available(); err != nil {
		return finding{"power loss", "missing", err.Error(), "all other faults work without it"}
	}
	return finding{"power loss", "ok", "a service can lose what it has not synced", ""}
}

// count returns "1 mistake" or "2 mistakes".
func count(n int, noun string) string {
	if n != 1 {
		noun += "s"
	}
	return fmt.Sprintf("%d %s", n, noun)
}
