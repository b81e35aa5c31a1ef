package main

import (
	"bufio"
	"cmp"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/firedrill-dev/firedrill/scenarios/language"
	"github.com/firedrill-dev/firedrill/scenarios/source"
)

// initOptions are the flags of init.
type initOptions struct {
	dir      string
	services []string // name=host:port
	entry    string   // the service that the load asks
	request  string   // such as "GET /"
}

func initCommand() *cobra.Command {
	var o initOptions
	cmd := &cobra.Command{
		Use:   "init",
		Short: "Write a first drill of your own system: system.yaml, a feature, settings for editors",
		Long: `Writes a first drill of your own system: a system file, a feature, the JSON Schema of system files, and settings for
VS Code. Services are those of --service or, without that flag, of a compose file (with published ports) in the working
directory and, if none of them may answer HTTP requests, of a Procfile or the main packages of a Go module. If there are
none, they are the programs that listen on this machine. On a terminal it asks which service the load calls, and with which
request; elsewhere flags say so.

Files that exist are not changed.`,
		Example: `  firedrill init
  firedrill init --service orders=127.0.0.1:8080 --entry orders --request "POST /orders"`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			var ask io.Reader
			if isTerminal(cmd.InOrStdin()) {
				ask = cmd.InOrStdin()
			}
			return o.run(cmd.OutOrStdout(), ask)
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&o.dir, "dir", "features", "folder to write to")
	flags.StringArrayVar(&o.services, "service", nil, "a service that runs already, as name=host:port; may be repeated")
	flags.StringVar(&o.entry, "entry", "", "the service that the load calls (default: the first that may answer HTTP requests and that no other depends on)")
	flags.StringVar(&o.request, "request", "", `the request of the load (default "GET /")`)
	return cmd
}

// run writes the files. ask is the terminal, or nil if there is none.
func (o initOptions) run(out io.Writer, ask io.Reader) error {
	services, left, err := o.found()
	if err != nil {
		return err
	}
	for _, s := range services {
		fmt.Fprintf(out, "%s  (%s)\n", s.name, s.from)
	}
	for _, line := range left {
		fmt.Fprintln(out, line)
	}
	if len(services) == 0 {
		return errors.New("no service was found here: name one that runs, such as: firedrill init --service orders=127.0.0.1:8080")
	}
	if ask != nil {
		lines := bufio.NewScanner(ask)
		o.entry = cmp.Or(o.entry, answer(out, lines, "Which service shall the load call?", usualEntry(services)))
		o.request = cmp.Or(o.request, answer(out, lines, "With which request?", "GET /"))
	}
	o.entry, o.request = cmp.Or(o.entry, usualEntry(services)), cmp.Or(o.request, "GET /")
	if err := verifyEntry(services, o.entry); err != nil {
		return err
	}
	if _, _, err := source.ParseRoute(o.request); err != nil {
		what, hint := source.Parts(err)
		return fmt.Errorf("--request: %s: %s", what, hint)
	}
	settings, err := editorSettings(filepath.ToSlash(o.dir))
	if err != nil {
		return err
	}
	feature := filepath.Join(o.dir, "first.feature")
	for _, f := range []struct{ name, text string }{
		{filepath.Join(o.dir, "system.yaml"), o.system(services)},
		{feature, o.feature()},
		{filepath.Join(o.dir, "system.schema.json"), string(language.Standard().Schema())},
		{filepath.Join(o.dir, stubFile), string(language.Standard().EditorStub())},
		{filepath.Join(".vscode", "settings.json"), string(settings)},
	} {
		if err := writeNew(out, f.name, f.text); err != nil {
			return err
		}
	}
	fmt.Fprintf(out, "\nRead them, mend what was guessed, and then:\n  firedrill plan %s   # what would happen; touches nothing\n  firedrill run %s\n", o.dir, o.dir)
	return nil
}

// found returns the services of the flags, or those that are found.
func (o initOptions) found() (services []candidate, left []string, err error) {
	if len(o.services) == 0 {
		return candidates(".")
	}
	for _, flag := range o.services {
		name, address, ok := strings.Cut(flag, "=")
		if _, err := source.ParseAddress(address); !ok || err != nil {
			return nil, nil, fmt.Errorf("--service %q: write name=host:port, such as orders=127.0.0.1:8080", flag)
		}
		services = append(services, candidate{name: name, from: "--service", address: address})
	}
	return services, nil, nil
}

// usualEntry returns the name of the first service that may answer HTTP requests and that no other depends on or, if there is
// none, of the first one.
func usualEntry(services []candidate) string {
	for _, s := range services {
		if s.http() && !slices.ContainsFunc(services, func(o candidate) bool { return o.depends[s.name] != "" }) {
			return s.name
		}
	}
	return services[0].name
}

// verifyEntry returns an error unless the load can call a service.
func verifyEntry(services []candidate, entry string) error {
	var names []string
	for _, s := range services {
		names = append(names, s.name)
		switch {
		case s.name != entry:
		case s.http():
			return nil
		default:
			return fmt.Errorf("%q speaks %s, and the load of the first drill sends HTTP requests: choose another service, or name one that runs, such as: --service orders=127.0.0.1:8080", entry, s.protocol)
		}
	}
	return fmt.Errorf("there is no service %q: %s", entry, source.DidYouMean(entry, names, "services"))
}

// answer asks a question. An empty line is the usual answer.
func answer(out io.Writer, lines *bufio.Scanner, question, usual string) string {
	fmt.Fprintf(out, "%s [%s] ", question, usual)
	lines.Scan()
	return cmp.Or(strings.TrimSpace(lines.Text()), usual)
}

// writeNew writes a file unless it exists.
func writeNew(out io.Writer, name, text string) error {
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		return err
	}
	f, err := os.OpenFile(name, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o644)
	switch {
	case errors.Is(err, fs.ErrExist):
		fmt.Fprintf(out, "kept     %s, which was there\n", name)
		return nil
	case err != nil:
		return err
	}
	_, err = f.WriteString(text)
	fmt.Fprintf(out, "written  %s\n", name)
	return errors.Join(err, f.Close())
}

// system returns the system file.
func (o initOptions) system(services []candidate) string {
	var b strings.Builder
	port := firstLinkPort
	b.WriteString("# yaml-language-server: $schema=system.schema.json\n# The services under test, and the links between them, in which faults are injected.\nservices:\n")
	for _, s := range services {
		fmt.Fprintf(&b, "  %s:\n", yamlKey(s.name))
		if s.address != "" {
			fmt.Fprintf(&b, "    address: %q   # it runs already\n", s.address)
		} else {
			args := make([]string, len(s.command))
			for i, a := range s.command {
				args[i] = fmt.Sprintf("%q", a)
			}
			fmt.Fprintf(&b, "    command: [%s]\n    dir: %q\n", strings.Join(args, ", "), o.root())
			b.WriteString("    env: {")
			for i, name := range slices.Sorted(maps.Keys(s.env)) {
				fmt.Fprintf(&b, "%s%s: %q", map[bool]string{true: ", "}[i > 0], name, s.env[name])
			}
			b.WriteString("}   # how it is told where to listen\n    ready: {within: 60s}   # it listens at ${port}; if it listens nowhere: {line: \"a part of what it logs then\"}\n")
		}
		if s.name == o.entry {
			b.WriteString("    serves: [/]   # the load calls it\n")
		}
		if len(s.depends) == 0 {
			continue
		}
		fmt.Fprintf(&b, "    # Each link listens at an address of its own. Let %s use it in place of the dependency's address, so that faults act.\n    depends:\n", s.name)
		for _, to := range slices.Sorted(maps.Keys(s.depends)) {
			fmt.Fprintf(&b, "      %s: {protocol: %s, listen: \"127.0.0.1:%d\"}\n", yamlKey(to), s.depends[to], port)
			port++
		}
	}
	fmt.Fprintf(&b, "clients:\n  depends: {%s: http}   # the load goes through a link, too\n", yamlKey(o.entry))
	return b.String()
}

// yamlKey returns a name as a key of YAML, in quotes unless it is clearly a text.
func yamlKey(name string) string {
	if plainKey.MatchString(name) && !slices.Contains([]string{"true", "false", "null", "yes", "no", "on", "off", "y", "n"}, strings.ToLower(name)) {
		return name
	}
	return strconv.Quote(name)
}

var plainKey = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9_.-]*$`)

// firstLinkPort is the address of the first link to a service that runs already. It is not among the ports that operating
// systems choose by themselves.
const firstLinkPort = 19191

// root returns the path of the working directory, as seen from the folder of the system file.
func (o initOptions) root() string {
	if up, err := filepath.Rel(o.dir, "."); err == nil {
		return filepath.ToSlash(up)
	}
	return ".."
}

// feature returns the first feature. Its fault acts on the link of the load, and needs no other.
func (o initOptions) feature() string {
	return fmt.Sprintf(`Feature: %[1]s when the network is slow
  A first drill: what its clients see when each answer comes 200 ms late.
  "firedrill steps" lists what else can be broken and judged.

  Scenario: slow answers are waited for, and nothing fails
    Given the system described in "system.yaml"
    When replies from %[1]q to "clients" are delayed by 200ms
    And 100 requests on %[2]q are sent, 10 at a time
    Then at least 99%% of requests succeed during the fault
    And no request takes longer than 1s during the fault
`, o.entry, o.request)
}
