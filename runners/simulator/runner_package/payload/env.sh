#!/bin/bash
# Keeps what of this environment a service should start with: .path, and known names in .env.

names=(LANG JAVA_HOME ANT_HOME M2_HOME ANDROID_HOME ANDROID_SDK_ROOT GRADLE_HOME)
names+=(NVM_BIN NVM_PATH LD_LIBRARY_PATH PERL5LIB)

touch .env
echo "$PATH" >.path
for name in "${names[@]}"; do
    if [[ -n "${!name}" ]] && ! grep -q "^$name=" .env; then
        echo "$name=${!name}" >>.env
    fi
done
