package main

import (
	"archive/tar"
	"bytes"
	"cmp"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/firedrill-dev/firedrill/features"
	"github.com/firedrill-dev/firedrill/reports"
	"github.com/firedrill-dev/firedrill/reports/history"
	"github.com/firedrill-dev/firedrill/scenarios/journal"
)

func archiveCommand() *cobra.Command {
	var output, runs string
	var unredacted bool
	cmd := &cobra.Command{
		Use:   "archive RUN",
		Short: "Write one file with all that is needed to examine and to repeat a run",
		Long: `Writes a .tar.gz with the features of a run, the description of its system and what these refer to, the journal,
report.json, the command that repeats the run, and SHA-256 digests of all of them. Equal runs give equal bytes. RUN is a
folder or name of a run, or "latest". Call it in the folder in which the run was started.

The files must be those that the run was read from: the journal has their digests. If the journal would redact a
line of them, as it does with secrets, nothing is written. Programs of services, their logs and environment variables are
not in the archive.`,
		Example: `  firedrill archive latest
  tar xzf 20260102T030405Z-7f3a00.tar.gz   # README.md says how to go on`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			dir, err := history.Folder(runs, args[0])
			if err != nil {
				return err
			}
			name, err := archiveRun(dir, output, unredacted)
			if err != nil {
				return fmt.Errorf("archive %q: %w", dir, err)
			}
			fmt.Fprintln(cmd.OutOrStdout(), journal.Visible(name))
			return nil
		},
	}
	cmd.Flags().StringVarP(&output, "output", "o", "", "the file to write; the name of the run with .tar.gz if it is empty")
	cmd.Flags().StringVar(&runs, "dir", runsDir, "parent of run folders")
	cmd.Flags().BoolVar(&unredacted, "unredacted", false, "write files as they are, even if the journal would redact some of their lines")
	return cmd
}

// archiveRun archives the run in a folder, and returns the name of the file.
func archiveRun(dir, output string, unredacted bool) (string, error) {
	facts := filepath.Join(dir, "journal.ndjson")
	book, err := readBook(facts)
	if err != nil {
		return "", err
	}
	if len(book.Run.Files) == 0 {
		return "", errors.New("the journal names no files: the run was made of experiments in Go, or by an earlier version")
	}
	if len(book.Run.Plan) == 0 {
		return "", errors.New("the journal names no scenarios")
	}
	content := map[string][]byte{}
	for _, f := range book.Run.Files {
		text, builtIn, err := inputFile(f)
		if err != nil {
			return "", err
		}
		if line := secretLine(text); line > 0 && !unredacted && !builtIn {
			return "", fmt.Errorf("%s:%d: the journal would redact this line: take the value from the environment, or archive it as it is with --unredacted", f.Name, line)
		}
		content["files/"+f.Name] = text
	}
	if content["journal.ndjson"], err = os.ReadFile(facts); err != nil {
		return "", err
	}
	var report bytes.Buffer
	if err := reports.Formats().WriteTo(&report, "json", book); err != nil {
		return "", err
	}
	content["report.json"] = report.Bytes()
	content["README.md"] = archiveReadme(book)
	content[manifestFile] = manifest(content)

	output = cmp.Or(output, filepath.Base(book.Run.ID)+".tar.gz")
	var packed bytes.Buffer
	if err := pack(&packed, filepath.Base(book.Run.ID), content); err != nil {
		return "", err
	}
	if err := os.WriteFile(output+".part", packed.Bytes(), 0o600); err != nil {
		return "", err
	}
	return output, os.Rename(output+".part", output)
}

// builtInPlace is before the names of files that are built in.
const builtInPlace = "built-in "

// inputFile returns the content of a file that a run was read from: in the working directory, from the root of the file
// system, or built in. It must be unchanged.
func inputFile(f journal.File) (text []byte, builtIn bool, err error) {
	if !fs.ValidPath(f.Name) {
		return nil, false, fmt.Errorf("%q is not a name of a file of a run", f.Name)
	}
	found := ""
	for _, place := range []struct {
		fsys fs.FS
		name string
	}{{os.DirFS("."), ""}, {os.DirFS("/"), "/"}, {features.FS, builtInPlace}, {features.Demo, builtInPlace}} {
		info, err := fs.Stat(place.fsys, f.Name)
		if err != nil || !info.Mode().IsRegular() {
			continue
		}
		found = cmp.Or(found, place.name+f.Name)
		if info.Size() != f.Size {
			continue
		}
		text, err := fs.ReadFile(place.fsys, f.Name)
		if err != nil {
			return nil, false, err
		}
		if digest(text) == f.SHA256 {
			return text, place.name == builtInPlace, nil
		}
	}
	if found == "" {
		return nil, false, fmt.Errorf("file %q does not exist: change to the folder in which the run was started", f.Name)
	}
	return nil, false, fmt.Errorf("file %q is not the one that the run was read from, which has the SHA-256 %s: restore that version", found, f.SHA256)
}

func digest(text []byte) string {
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:])
}

// placeholder matches the name of a value, such as ${env:DB_PASSWORD} or "${env:DB_PASSWORD}", which is no secret.
var placeholder = regexp.MustCompile(`"\$\{[^}\n]*\}"|'\$\{[^}\n]*\}'|\$\{[^}\n]*\}`)

// secretLine returns the number of the first line that the journal would redact, or 0 if there is none. Placeholders count as
// redacted.
func secretLine(text []byte) int {
	text = placeholder.ReplaceAll(text, []byte("***"))
	redacted := journal.RedactText(string(text))
	if redacted == string(text) {
		return 0
	}
	same := 0
	for same < min(len(redacted), len(text)) && redacted[same] == text[same] {
		same++
	}
	return 1 + bytes.Count(text[:same], []byte("\n"))
}

// manifestFile has the digests of all other files, as sha256sum prints and checks them.
const manifestFile = "MANIFEST.sha256"

func manifest(content map[string][]byte) []byte {
	var out bytes.Buffer
	for _, name := range slices.Sorted(maps.Keys(content)) {
		fmt.Fprintf(&out, "%s  %s\n", digest(content[name]), name)
	}
	return out.Bytes()
}

// pack writes files into a folder of an archive. Equal files give equal bytes.
func pack(w io.Writer, folder string, content map[string][]byte) error {
	zipped := gzip.NewWriter(w)
	files := tar.NewWriter(zipped)
	for _, name := range slices.Sorted(maps.Keys(content)) {
		header := &tar.Header{Name: folder + "/" + name, Mode: 0o644, Size: int64(len(content[name])), ModTime: time.Unix(0, 0), Typeflag: tar.TypeReg}
		if err := files.WriteHeader(header); err != nil {
			return err
		}
		if _, err := files.Write(content[name]); err != nil {
			return err
		}
	}
	return errors.Join(files.Close(), zipped.Close())
}

// archiveReadme returns the text that says how to repeat a run.
func archiveReadme(b *journal.Book) []byte {
	text := fmt.Sprintf(`# Firedrill run %s

%s, with the seed %d, by Firedrill %s on %s.

To verify the files and to repeat the run with the same choices:

    sha256sum -c %s
    cd files
    %s

- files/: the features, the description of the system, and what these refer to, as they were when they were read
- journal.ndjson: the facts of the run; in a folder with it, "firedrill report FOLDER" writes all reports
- report.json: verdicts and figures

Not in this archive: programs of services and scripts that they run, logs, and environment variables. Timing does not repeat.
`, b.Run.ID, reports.Outcome(b), b.Run.Seed, cmp.Or(b.Run.Version, "(unknown)"), b.Run.Host, manifestFile, strings.Join(replay(b), " "))
	return []byte(journal.Visible(text))
}

// replay returns the words of the command that repeats a run in the folder with its files, quoted for a shell. It names the
// scenarios of the plan. Where the rows of an outline share a line, tags and name select as they did.
func replay(b *journal.Book) []string {
	words := []string{"firedrill", "run", fmt.Sprintf("--seed=%d", b.Run.Seed)}
	add := func(flag, value string) {
		if value != "" {
			words = append(words, journal.ShellWord("--"+flag+"="+value))
		}
	}
	for _, protection := range b.Run.Without {
		add("without", protection)
	}
	if c := b.Run.Command; len(c) > 1 && c[1] == "run" {
		flags := runCommand().Flags()
		if err := flags.Parse(c[2:]); err == nil {
			tags := flags.Lookup("tags").Value.String()
			if flags.NArg() == 0 {
				tags = cmp.Or(tags, "not @real")
			}
			add("tags", tags)
			add("name", flags.Lookup("name").Value.String())
		}
	}
	var places []string
	for _, p := range b.Run.Plan {
		place := journal.ShellWord(fmt.Sprintf("%s:%d", p.File, p.Line))
		if !slices.Contains(places, place) {
			places = append(places, place)
		}
	}
	return append(words, places...)
}
