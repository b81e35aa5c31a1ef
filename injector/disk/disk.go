// Package disk gives a folder a file system of its own that can lose power: what was not synced is gone.
//
// A Disk is an ext4 file system in a sparse file, mounted through a loop device. LosePower shuts it down without flushing
// its journal or its dirty pages (FS_IOC_SHUTDOWN, with which file systems are tested for this), and mounts it again, as a
// machine does after a power failure.
//
// It shows which data a program did not sync: with fsync, fdatasync, O_SYNC or sync, of files and of folders. Data that
// the kernel has written back by itself is kept, as on a real machine: that of files after about 30 s, names of files
// after 5 s. Not simulated are the cache of a drive, sectors that are written in part, and writes that a drive reorders.
//
// It needs Linux, root, a loop device and mkfs.ext4.
package disk

import (
	"errors"
	"fmt"
	"hash/maphash"
	"io"
	"io/fs"
	"os"
	"path/filepath"
)

// Lost is what a power failure discarded.
type Lost struct {
	Files int   // files whose content changed, which became shorter, or which are gone
	Bytes int64 // in blocks of 4 KiB, of which each counts as a whole, up to the end of its file
}

func (l Lost) String() string {
	switch l.Files {
	case 0:
		return "all data was synced, and none is gone"
	case 1:
		return fmt.Sprintf("%d bytes in 1 file were not synced and are gone", l.Bytes)
	}
	return fmt.Sprintf("%d bytes in %d files were not synced and are gone", l.Bytes, l.Files)
}

const blockSize = 4096

// contents holds the hash of each block of each file below a folder.
type contents map[string]fileContent

type fileContent struct {
	size   int64
	blocks []uint64
}

// read reads all files below a folder. Nothing may write to them meanwhile.
func read(folder string, seed maphash.Seed) (contents, error) {
	all := contents{}
	err := filepath.WalkDir(folder, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		content, err := readFile(path, seed)
		all[path] = content
		return err
	})
	return all, err
}

func readFile(path string, seed maphash.Seed) (fileContent, error) {
	var content fileContent
	f, err := os.Open(path)
	if err != nil {
		return content, err
	}
	defer f.Close()
	block := make([]byte, blockSize)
	for {
		n, err := io.ReadFull(f, block)
		if n > 0 {
			content.size += int64(n)
			content.blocks = append(content.blocks, maphash.Bytes(seed, block[:n]))
		}
		switch {
		case errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF):
			return content, nil
		case err != nil:
			return content, err
		}
	}
}

// lost compares the contents of a folder before and after a power failure. Blocks that only the later one has are not
// counted.
func (before contents) lost(after contents) Lost {
	var l Lost
	for path, was := range before {
		is, ok := after[path]
		changed := !ok
		for i, hash := range was.blocks {
			if i >= len(is.blocks) || is.blocks[i] != hash {
				l.Bytes += min(blockSize, was.size-int64(i)*blockSize)
				changed = true
			}
		}
		if changed {
			l.Files++
		}
	}
	return l
}
