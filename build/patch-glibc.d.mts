export declare function patchGlibc (input: Buffer, versionMax: string): { readonly buffer: Buffer, readonly renamed: readonly string[], readonly floor: string | undefined }
