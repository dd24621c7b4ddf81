package main

import (
	"archive/tar"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// packages gets Debian packages of any release and architecture, without
// touching the system's own lists: apt works on files below one folder.
type packages struct {
	dir   string
	names []string // of kernels
}

const keyring = "/usr/share/keyrings/debian-archive-keyring.gpg"

// archives are where the kernels come from: a mirror, and its suites.
var archives = []struct {
	mirror string
	suites []string
}{
	{"http://deb.debian.org/debian", []string{"bullseye", "bookworm", "bookworm-backports", "trixie", "trixie-backports"}},
	{"http://deb.debian.org/debian-security", []string{"bullseye-security", "bookworm-security", "trixie-security"}},
}

// listsAge is how old lists of packages may be.
const listsAge = 24 * time.Hour

func openPackages(ctx context.Context, dir string) (*packages, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return nil, fmt.Errorf("prepare lists of packages: %w", err)
	}
	p := &packages{dir: dir}
	for _, d := range []string{"empty", "lists/partial", "cache/archives/partial", "debs", "kernels"} {
		if err := os.MkdirAll(filepath.Join(dir, d), 0o755); err != nil {
			return nil, fmt.Errorf("prepare lists of packages: %w", err)
		}
	}
	var sources strings.Builder
	for _, a := range archives {
		for _, suite := range a.suites {
			fmt.Fprintf(&sources, "deb [signed-by=%s] %s %s main\n", keyring, a.mirror, suite)
		}
	}
	config := fmt.Sprintf(`Dir::Etc::sourcelist "%[1]s/sources.list";
Dir::Etc::sourceparts "%[1]s/empty";
Dir::State::Lists "%[1]s/lists";
Dir::Cache "%[1]s/cache";
APT::Architectures { "amd64"; "arm64"; };
APT::Sandbox::User "";
Acquire::Languages "none";
Acquire::IndexTargets::deb::DEP-11::DefaultEnabled "false";
`, dir)
	for name, text := range map[string]string{"sources.list": sources.String(), "apt.conf": config} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			return nil, fmt.Errorf("prepare lists of packages: %w", err)
		}
	}
	updated := filepath.Join(dir, "updated")
	if info, err := os.Stat(updated); err != nil || time.Since(info.ModTime()) > listsAge {
		log.Print("getting lists of packages")
		if _, err := p.apt(ctx, "empty", "apt-get", "-qq", "update"); err != nil {
			return nil, err
		}
		if err := os.WriteFile(updated, nil, 0o644); err != nil {
			return nil, fmt.Errorf("prepare lists of packages: %w", err)
		}
	}
	out, err := p.apt(ctx, "empty", "apt-cache", "pkgnames", "linux-image-")
	if err != nil {
		return nil, err
	}
	p.names = strings.Fields(string(out))
	return p, nil
}

// apt runs one of apt's programs in a folder below ours.
func (p *packages) apt(ctx context.Context, folder string, args ...string) ([]byte, error) {
	cmd := exec.CommandContext(ctx, args[0], args[1:]...)
	cmd.Env = append(os.Environ(), "APT_CONFIG="+filepath.Join(p.dir, "apt.conf"))
	cmd.Dir = filepath.Join(p.dir, folder)
	out, err := cmd.Output()
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		return nil, fmt.Errorf("%s: %w: %s", strings.Join(args, " "), err, exit.Stderr)
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", strings.Join(args, " "), err)
	}
	return out, nil
}

// download returns the path of a package's file.
func (p *packages) download(ctx context.Context, name, arch string) (string, error) {
	full := name + ":" + arch
	// One line: 'URL' file size hash; none when the file is there already.
	out, err := p.apt(ctx, "empty", "apt-get", "--print-uris", "download", full)
	if err != nil {
		return "", err
	}
	fields := strings.Fields(string(out))
	if len(fields) < 2 || strings.ContainsRune(fields[1], '/') {
		return "", fmt.Errorf("find file of package %s: apt-get printed %q", full, out)
	}
	path := filepath.Join(p.dir, "debs", fields[1])
	if _, err := os.Stat(path); err == nil {
		return path, nil
	}
	// apt-get checks sizes and hashes, and moves into place what is whole.
	if _, err := p.apt(ctx, "debs", "apt-get", "-qq", "download", full); err != nil {
		return "", err
	}
	return path, nil
}

// versionsTried is how many of the newest versions are tried: mirrors may have
// dropped what their lists still name.
const versionsTried = 3

// kernel returns the path of the newest kernel image of a series, and its
// version.
func (p *packages) kernel(ctx context.Context, k kernel) (image, version string, err error) {
	versions := k.choose(p.names)
	if len(versions) == 0 {
		return "", "", errors.New("no package has one")
	}
	var errs []error
	for _, version := range versions[:min(len(versions), versionsTried)] {
		image := filepath.Join(p.dir, "kernels", version)
		if _, err := os.Stat(image); err == nil {
			return image, version, nil
		}
		// Since 7.3, linux-image is empty and depends on linux-binary.
		for _, name := range []string{"linux-image-", "linux-binary-"} {
			deb, err := p.download(ctx, name+version, k.arch)
			if err == nil {
				err = extract(ctx, deb, image, func(path string) bool {
					return strings.HasPrefix(path, "boot/vmlinuz-") || strings.HasPrefix(path, "usr/lib/modules/") && strings.HasSuffix(path, "/vmlinuz")
				})
			}
			if err == nil {
				return image, version, nil
			}
			errs = append(errs, err)
		}
	}
	return "", "", errors.Join(errs...)
}

// maxFile bounds files taken out of packages.
const maxFile = 256 << 20

// extract writes the first regular file of a package that fits to out.
func extract(ctx context.Context, deb, out string, fits func(path string) bool) error {
	cmd := exec.CommandContext(ctx, "dpkg-deb", "--fsys-tarfile", deb)
	pipe, err := cmd.StdoutPipe()
	if err != nil {
		return fmt.Errorf("read package %s: %w", filepath.Base(deb), err)
	}
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("read package %s: %w", filepath.Base(deb), err)
	}
	defer func() { cmd.Process.Kill(); cmd.Wait() }()
	for files := tar.NewReader(pipe); ; {
		header, err := files.Next()
		if err != nil {
			return fmt.Errorf("find file in package %s: %w", filepath.Base(deb), err)
		}
		if header.Typeflag != tar.TypeReg || !fits(strings.TrimPrefix(header.Name, "./")) {
			continue
		}
		content, err := io.ReadAll(io.LimitReader(files, maxFile))
		if err == nil && int64(len(content)) != header.Size {
			err = errors.New("larger than expected")
		}
		if err != nil {
			return fmt.Errorf("read %s of package %s: %w", header.Name, filepath.Base(deb), err)
		}
		part := out + ".part"
		if err := cmp.Or(os.WriteFile(part, content, 0o755), os.Rename(part, out)); err != nil {
			return fmt.Errorf("write %s: %w", out, err)
		}
		return nil
	}
}
