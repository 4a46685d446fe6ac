#!/usr/bin/env bash
# The gate in a checkout of any CI: installs it, checks out the commit that judges beside, runs. Exits with the gate's code.
#
#   FG_POLICY            the policy, a path inside the repository
#   FG_CANDIDATES        NAME=PATH of what is judged, one a line; empty for the policy's own
#   FG_REFERENCE, FG_REFERENCE_DIGEST, FG_INPUTS     as the options of `fidelity-gate ci run`; may be empty
#   FG_REPORTS           the folder of the reports, inside the workspace
#   FG_BASE              the ref of `origin` that policy, reference and inputs are taken from; "commit" for the commit
#                        itself; "workspace" for everything as it lies there, so that who is judged also says by what
#   FG_COMMIT, FG_REPOSITORY, FG_RUN                 what the verdict file names
#   FG_STRICT_JUNIT      "true" for JUnit that validates against Jenkins' schema
#   FG_EXTRAS            extras of the package to install
#   FG_INSTALL           "false" where the gate is installed already
set -euo pipefail

here="$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")" && pwd)"
home="$(mktemp -d)"
# What this leaves on a machine that lives on: nothing.
trap 'rm -rf -- "$home"; git worktree prune' EXIT

# An earlier green report must not be collected when the gate cannot even be installed.
rm -f -- "$FG_REPORTS"/fidelity-gate*

RUNNER_TEMP="$home" FG_INSTALL="${FG_INSTALL:-true}" FG_EXTRAS="${FG_EXTRAS:-torch}" FG_SOURCE="$here/.." FG_PYTHON="" \
  bash "$here/install.sh"

arguments=(--reports "$FG_REPORTS" --commit "$FG_COMMIT")
case "$FG_BASE" in
  workspace) ;;
  commit)
    git worktree add --quiet --detach "$home/trusted" "$FG_COMMIT"
    arguments+=(--trusted "$home/trusted")
    ;;
  *)
    git fetch --quiet --no-tags --depth 1 origin "$FG_BASE"
    git worktree add --quiet --detach "$home/trusted" FETCH_HEAD
    arguments+=(--trusted "$home/trusted")
    ;;
esac
[[ -z "${FG_CANDIDATES:-}" ]] || arguments+=("--candidate=$FG_CANDIDATES")
[[ -z "${FG_REFERENCE:-}" ]] || arguments+=("--reference=$FG_REFERENCE")
[[ -z "${FG_REFERENCE_DIGEST:-}" ]] || arguments+=("--reference-digest=$FG_REFERENCE_DIGEST")
[[ -z "${FG_INPUTS:-}" ]] || arguments+=("--inputs=$FG_INPUTS")
[[ -z "${FG_REPOSITORY:-}" ]] || arguments+=("--repository=$FG_REPOSITORY")
[[ -z "${FG_RUN:-}" ]] || arguments+=("--run=$FG_RUN")
[[ "${FG_STRICT_JUNIT:-}" != true ]] || arguments+=(--strict-junit)
"$home/fidelity-gate/gate" ci run "${arguments[@]}" -- "$FG_POLICY"
