/* Says which machine it runs on (uname, field 5), and with an argument also runs calls and branches.
   fleet_agent/emulation.py holds what this assembles to; test_emulation.py compares the two. */
.intel_syntax noprefix
.global _start
_start:
 mov rbx,[rsp]
 sub rsp,512
 mov rdi,rsp
 mov eax,63
 syscall
 lea rsi,[rsp+260]
 xor edx,edx
1: mov al,[rsi+rdx]
 test al,al
 jz 2f
 inc edx
 jmp 1b
2: mov byte ptr [rsi+rdx],10
 inc edx
 mov edi,1
 mov eax,1
 syscall
 cmp rbx,1
 jle 4f
 mov ecx,5000000
 mov r8d,1
 lea r12,[rip+f1]
 lea r13,[rip+f2]
3: mov r11,r12
 test r8,4
 jz 5f
 mov r11,r13
5: call r11
 mov r11,r12
 test r8,8
 jnz 6f
 mov r11,r13
6: call r11
 dec rcx
 jnz 3b
4: xor edi,edi
 mov eax,60
 syscall
f1: mov r9,[rsp+8]
 add r9,r8
 mov [rsp+8],r9
 shr r9,3
 xor r8,r9
 ret
f2: mov r9,[rsp+8]
 add r8,rcx
 test r8,2
 jz 7f
 mov r10,r8
 shl r10,2
 sub r9,r10
 mov [rsp+8],r9
7: ret
