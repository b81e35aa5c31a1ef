package disk

import (
	"errors"
	"fmt"
	"hash/maphash"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"

	"github.com/firedrill-dev/firedrill/injector/process"
)

// Disk is a mounted file system.
type Disk struct {
	folder string
	made   bool     // folder was made for it
	image  *os.File // has no name, so that it is gone when it is closed and unmounted
	forget func()
}

// loopControl is the device that hands out loop devices.
const loopControl = "/dev/loop-control"

// Available returns an error if this machine cannot provide disks, which says what is missing.
func Available() error {
	if os.Geteuid() != 0 {
		return errors.New("only root can mount the file system that is to lose power: run as root")
	}
	f, err := os.OpenFile(loopControl, os.O_RDWR, 0)
	if err != nil {
		return fmt.Errorf("the file system that is to lose power needs a loop device, in a container started with --privileged: %w", err)
	}
	_ = f.Close()
	if _, err := process.LookPath("mkfs.ext4"); err != nil {
		return fmt.Errorf("mkfs.ext4 is not installed: sudo apt-get install -y e2fsprogs: %w", err)
	}
	return nil
}

// Open makes a file system of a size in bytes and mounts it at a folder, which must be empty or not exist. Close unmounts
// it and discards its content. If this program is killed or hangs, its guardian does that (see package process).
func Open(folder string, size int64) (_ *Disk, err error) {
	if err := Available(); err != nil {
		return nil, err
	}
	folder, err = filepath.Abs(folder)
	if err != nil {
		return nil, err
	}
	d := &Disk{folder: folder, forget: func() {}}
	defer func() {
		if err != nil {
			_ = d.Close()
			err = fmt.Errorf("make a file system at %q: %w", folder, err)
		}
	}()
	entries, err := os.ReadDir(folder)
	switch {
	case len(entries) > 0:
		return nil, errors.New("the folder is not empty, and its content would be hidden: name a folder that does not exist yet")
	case errors.Is(err, os.ErrNotExist):
		if err := os.MkdirAll(folder, 0o700); err != nil {
			return nil, err
		}
		d.made = true
	case err != nil:
		return nil, err
	}
	if err := d.makeImage(size); err != nil {
		return nil, err
	}
	if d.forget, err = process.Record(folder); err != nil {
		d.forget = func() {}
		return nil, err
	}
	if err := d.mount(); err != nil {
		return nil, err
	}
	return d, os.Remove(filepath.Join(folder, "lost+found")) // programs want an empty folder
}

func (d *Disk) makeImage(size int64) error {
	var err error
	if d.image, err = os.CreateTemp(filepath.Dir(d.folder), process.DiskPrefix); err != nil {
		return err
	}
	if err := errors.Join(os.Remove(d.image.Name()), d.image.Truncate(size)); err != nil {
		return err
	}
	mkfs, err := process.LookPath("mkfs.ext4")
	if err != nil {
		return err
	}
	cmd := exec.Command(mkfs, "-q", "-F", "-m", "0", "-b", "4096", "/dev/fd/3") //nolint:gosec // an installed program
	cmd.ExtraFiles = []*os.File{d.image}
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%w: %s", err, out)
	}
	return nil
}

// mount mounts the image through a loop device that is released when it is unmounted.
func (d *Disk) mount() error {
	control, err := os.OpenFile(loopControl, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer control.Close()
	for range 100 {
		n, err := unix.IoctlRetInt(int(control.Fd()), unix.LOOP_CTL_GET_FREE)
		if err != nil {
			return fmt.Errorf("find a free loop device: %w", err)
		}
		name := fmt.Sprintf("/dev/loop%d", n)
		err = d.mountOn(name)
		if !errors.Is(err, unix.EBUSY) { // another program took the device
			return err
		}
	}
	return errors.New("other programs take each free loop device")
}

func (d *Disk) mountOn(device string) error {
	loop, err := os.OpenFile(device, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer loop.Close()
	config := unix.LoopConfig{Fd: uint32(d.image.Fd()), Info: unix.LoopInfo64{Flags: unix.LO_FLAGS_AUTOCLEAR}} //nolint:gosec // a descriptor
	if err := unix.IoctlLoopConfigure(int(loop.Fd()), &config); err != nil {
		return fmt.Errorf("set up %s: %w", device, err)
	}
	if err := unix.Mount(device, d.folder, "ext4", unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOATIME, "noinit_itable"); err != nil {
		return fmt.Errorf("mount %s at %q: %w", device, d.folder, err)
	}
	return nil
}

const (
	ioctlShutdown = 0x8004587D // FS_IOC_SHUTDOWN
	noLogFlush    = 2          // FS_SHUTDOWN_FLAGS_NOLOGFLUSH
)

// LosePower discards what was not synced and mounts the file system again. All processes that use it must be stopped,
// and kill must kill them.
func (d *Disk) LosePower(kill func() error) (Lost, error) {
	seed := maphash.MakeSeed()
	before, err := read(d.folder, seed)
	if err != nil {
		return Lost{}, fmt.Errorf("read the data before a power failure: %w", err)
	}
	if err := d.shutDown(); err != nil {
		return Lost{}, fmt.Errorf("shut down the file system at %q: %w", d.folder, err)
	}
	if err := kill(); err != nil {
		return Lost{}, err
	}
	if err := d.unmount(0); err != nil {
		return Lost{}, err
	}
	if err := d.mount(); err != nil {
		return Lost{}, fmt.Errorf("mount the file system at %q after a power failure: %w", d.folder, err)
	}
	after, err := read(d.folder, seed)
	if err != nil {
		return Lost{}, fmt.Errorf("read the data after a power failure: %w", err)
	}
	return before.lost(after), nil
}

func (d *Disk) shutDown() error {
	root, err := os.Open(d.folder)
	if err != nil {
		return err
	}
	defer root.Close()
	return unix.IoctlSetPointerInt(int(root.Fd()), ioctlShutdown, noLogFlush)
}

// unmountTimeout is how long other programs may use the file system.
const unmountTimeout = 5 * time.Second

// unmount unmounts the file system, if it is mounted.
func (d *Disk) unmount(flags int) error {
	for deadline := time.Now().Add(unmountTimeout); ; time.Sleep(10 * time.Millisecond) {
		switch err := unix.Unmount(d.folder, flags); {
		case err == nil:
			return nil
		case errors.Is(err, unix.EINVAL), errors.Is(err, unix.ENOENT):
			return nil // it is not a mount point
		case !errors.Is(err, unix.EBUSY) || time.Now().After(deadline):
			return fmt.Errorf("unmount %q, which a program that does not belong to the service may use: %w", d.folder, err)
		}
	}
}

// Close unmounts the file system, even if other programs still use it, and discards its content. It may be called more
// than once.
func (d *Disk) Close() error {
	err := d.unmount(unix.MNT_DETACH)
	if err == nil {
		d.forget()
	}
	if d.image != nil {
		_ = d.image.Close()
	}
	if d.made {
		_ = os.Remove(d.folder)
	}
	return err
}
