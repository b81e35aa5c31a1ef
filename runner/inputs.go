package runner

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"hash"
	"io"
	"io/fs"
	"maps"
	"slices"

	"github.com/firedrill-dev/firedrill/scenarios/journal"
)

// inputs is a file system that remembers the files that were read from it to their end. It is for one goroutine.
type inputs struct {
	fs.FS
	read map[string]journal.File
}

// Open opens a file. What is read of it is hashed.
func (in *inputs) Open(name string) (fs.File, error) {
	f, err := in.FS.Open(name)
	if err != nil {
		return nil, err
	}
	if info, err := f.Stat(); err != nil || info.IsDir() {
		return f, nil //nolint:nilerr // whoever reads it gets the error
	}
	return &inputFile{File: f, of: in, name: name, hash: sha256.New()}, nil
}

// list returns the files that were read, sorted by name.
func (in *inputs) list() (all []journal.File) {
	for _, name := range slices.Sorted(maps.Keys(in.read)) {
		all = append(all, in.read[name])
	}
	return all
}

// inputFile is a file that is read once, from its beginning.
type inputFile struct {
	fs.File
	of   *inputs
	name string
	hash hash.Hash
	size int64
}

func (f *inputFile) Read(p []byte) (int, error) {
	n, err := f.File.Read(p)
	_, _ = f.hash.Write(p[:n]) // it never fails
	f.size += int64(n)
	if errors.Is(err, io.EOF) {
		f.of.read[f.name] = journal.File{Name: f.name, Size: f.size, SHA256: hex.EncodeToString(f.hash.Sum(nil))}
	}
	return n, err
}
