/* Says which machine it runs on (uname, field 5), and with an argument also runs calls and branches.
   fleet_agent/emulation.py holds what this assembles to; test_emulation.py compares the two. */
.global _start
_start:
 ld s1,0(sp)
 addi sp,sp,-512
 mv a0,sp
 li a7,160
 ecall
 addi a1,sp,260
 li a2,0
1: add t0,a1,a2
 lbu t1,0(t0)
 beqz t1,2f
 addi a2,a2,1
 j 1b
2: li t1,10
 sb t1,0(t0)
 addi a2,a2,1
 li a0,1
 li a7,64
 ecall
 li t0,1
 ble s1,t0,4f
 li t2,5000000
 li t3,1
 la s2,f1
 la s3,f2
3: andi t0,t3,4
 mv s4,s2
 beqz t0,5f
 mv s4,s3
5: jalr s4
 andi t0,t3,8
 mv s4,s2
 bnez t0,6f
 mv s4,s3
6: jalr s4
 addi t2,t2,-1
 bnez t2,3b
4: li a0,0
 li a7,93
 ecall
f1: ld t4,0(sp)
 add t4,t4,t3
 sd t4,0(sp)
 srli t5,t4,3
 xor t3,t3,t5
 ret
f2: ld t4,0(sp)
 add t3,t3,t2
 andi t5,t3,2
 beqz t5,7f
 slli t5,t3,2
 sub t4,t4,t5
 sd t4,0(sp)
7: ret
